package tasks

import (
	"strings"
	"testing"
)

// Files of an OS user whose home directory is somebody else's, or is not there, are in the folder that the inventory names: made for that user alone, below folders of root's.
func TestFolderInPlaceOfHome(t *testing.T) {
	const home = "/var/lib/pgfleet/app"
	w := newWorld(t)
	w.serverSeen(5432)
	trust, cert := task(t, "trust", clientTrust), task(t, "certificate", clientCertificate)
	for name, prepare := range map[string]string{
		"of root":   "mkdir -p /home/app; chown root:root /home/app",
		"not there": "rm -rf /home/app",
	} {
		t.Run(name, func(t *testing.T) {
			w.sb.Shell(prepare + "; rm -rf /var/lib/pgfleet")
			w.client.Identities[0].Home = ""
			for _, kind := range []Task{trust, cert} {
				w.refused(w.client, kind, "home directory /home/app", "{user: dbuser1, home: /var/lib/pgfleet/app}")
			}
			w.client.Identities[0].Home = home
			w.sb.Shell("mkdir -p /var/lib/pgfleet/app.pgfleet-new/left") // by a run that stopped there
			for _, kind := range []Task{trust, cert} {
				w.must(w.client, kind, true)
				w.must(w.client, kind, false)
			}
			if got := w.sb.Shell("ls -A /var/lib/pgfleet; stat -c '%U:%G %a %n' /var/lib/pgfleet $1 $1/.pg_service.conf", home); got !=
				"app\nroot:root 755 /var/lib/pgfleet\napp:app 700 "+home+"\napp:app 600 "+home+"/.pg_service.conf" {
				t.Error(got)
			}
			env, conf := w.sb.ReadFile(home+"/.postgresql/pgfleet/dbuser1/pgfleet.env"), w.sb.ReadFile(home+"/.pg_service.conf")
			if !strings.Contains(env, "PGSERVICEFILE='"+home+"/.pg_service.conf'\n") || !strings.Contains(conf, "\nsslkey="+home+"/.postgresql/pgfleet/dbuser1/v/") {
				t.Error(env, conf)
			}
			w.sb.Shell("rm -rf /var/lib/pgfleet")
			w.must(w.client, cert, true) // alone, it makes the folder too
		})
	}
	w.sb.Shell("mkdir -p /srv/open; chmod 1777 /srv/open; install -d -o app -m 755 /srv/app; ln -s /etc /srv/link")
	for folder, above := range map[string]string{"/srv/open/app": "/srv/open", "/srv/app/tls": "/srv/app", "/srv/link/app": "/srv/link"} {
		w.client.Identities[0].Home = folder
		if _, err := w.run(w.client, trust); err == nil || !strings.Contains(err.Error(), "others than root may write in "+above+",") {
			t.Errorf("%s: %v", folder, err)
		}
		if got := w.sb.Shell(`ls -d "$1" "$1.pgfleet-new" 2>/dev/null || :`, folder); got != "" {
			t.Errorf("%s was made", got)
		}
	}
	w.client.Identities[0].Home = "/srv/app/tls"
	w.sb.Shell("install -d -o app -m 700 /srv/app/tls") // by hand, as it was told
	w.must(w.client, trust, true)
}
