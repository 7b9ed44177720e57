package tasks

import (
	"strings"
	"testing"
)

// A link planted at any component below the home directory is named, nothing is written through it, and a root-only file stays as it is.
func TestClientHostileLinks(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5432)
	places := []string{".postgresql", ".postgresql/pgfleet", ".postgresql/pgfleet/dbuser1", ".postgresql/pgfleet/dbuser1/v", ".postgresql/pgfleet/dbuser1/root.crt",
		".postgresql/pgfleet/dbuser1/pgfleet.env", ".pg_service.conf", ".postgresql/pgfleet/dbuser1/v/20200101T000000Z"}
	for _, place := range places {
		for _, target := range []string{"/root/secret", "/etc"} {
			w.emptyClient()
			w.sb.Shell(`echo secret >/root/secret; chmod 600 /root/secret; su app -c 'mkdir -p -m 700 "$HOME/$(dirname "$1")"; ln -s "$2" "$HOME/$1"' sh "$1" "$2"`, place, target)
			before := w.sb.Shell("stat -c '%U %a %s %Y' /root/secret; find /etc -newer /root/secret -type f | wc -l")
			for _, kind := range []Task{task(t, "trust", clientTrust), task(t, "certificate", clientCertificate)} {
				w.refused(w.client, kind, "/home/app/"+place, "symbolic link")
			}
			if after := w.sb.Shell("stat -c '%U %a %s %Y' /root/secret; find /etc -newer /root/secret -type f | wc -l"); after != before {
				t.Errorf("%s -> %s: %s became %s", place, target, before, after)
			}
		}
	}
}

// The same links planted after the look, when the steps are already on their way: the programs refuse by themselves, or the OS user harms itself alone.
func TestClientLinksPlantedInBetween(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5432)
	for _, place := range []string{".postgresql", ".postgresql/pgfleet", ".postgresql/pgfleet/dbuser1", ".pg_service.conf"} {
		w.emptyClient()
		w.sb.Shell("echo secret >/root/secret; chmod 600 /root/secret")
		trust := task(t, "trust", clientTrust)
		change, err := w.check(w.client, trust)
		if err != nil || change == nil {
			t.Fatal(change, err)
		}
		w.sb.Shell(`su app -c 'mkdir -p -m 700 "$HOME/$(dirname "$1")"; ln -s /root/secret "$HOME/$1"' sh "$1"`, place)
		if err := w.apply(w.client, trust, change); err == nil {
			t.Errorf("%s: nothing was refused", place)
		}
		if got := w.sb.Shell("stat -c '%U %a' /root/secret; cat /root/secret"); got != "root 600\nsecret" {
			t.Errorf("%s: %s", place, got)
		}
	}
}

func TestClientStrangers(t *testing.T) {
	cases := []struct {
		name, prepare string
		words         []string
	}{
		{"folder of root", "mkdir /home/app/.postgresql", []string{"/home/app/.postgresql", "belongs to root"}},
		{"open folder", "su app -c 'mkdir -m 777 /home/app/.postgresql'", []string{"others may write", "chmod go-w"}},
		{"home of another", "chown postgres /home/app", []string{"home directory /home/app", "belongs to postgres"}},
		{"service file of root", "touch /home/app/.pg_service.conf", []string{".pg_service.conf", "belongs to root"}},
		{"folder in the place of the service file's block", "su app -c 'printf \"# END pgfleet dbuser1\\n\" >/home/app/.pg_service.conf'", []string{"repair it by hand"}},
		{"pipe", "su app -c 'mkfifo /home/app/.pg_service.conf'", []string{"neither a file nor a folder"}},
		{"own service of that name", "su app -c 'printf \"[dbuser1@db1]\\nhost=x\\n\" >/home/app/.pg_service.conf'", []string{"dbuser1@db1", "rename or remove"}},
	}
	w := newWorld(t)
	w.serverSeen(5432)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w.emptyClient()
			w.sb.Shell("chown app /home/app")
			w.sb.Shell(c.prepare)
			w.refused(w.client, task(t, "trust", clientTrust), c.words...)
		})
	}
	w.emptyClient()
	w.client.Identities = []Identity{{OSUser: "nobody-here", DBUser: "dbuser1"}}
	if _, err := w.run(w.client, task(t, "trust", clientTrust)); err == nil || !strings.Contains(err.Error(), "nobody-here") {
		t.Error(err)
	}
}

// What the system says is told where a home directory takes nothing.
func TestClientWithoutRoom(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5432)
	trust := task(t, "trust", clientTrust)
	for mount, want := range map[string]string{"ro": "Read-only file system", "size=8k": "No space left on device"} {
		w.emptyClient()
		w.sb.Shell(`mount -t tmpfs -o "$1,mode=755,uid=$(id -u app),gid=$(id -g app)" none /home/app`, mount)
		if _, err := w.run(w.client, trust); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", mount, err)
		}
		w.sb.Shell(`umount /home/app`)
	}
}

func TestClientPrivileged(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5432)
	w.client.Identities[0].DBUser = "postgres"
	cert := task(t, "certificate", clientCertificate)
	w.refused(w.client, cert, "postgres", "allow_privileged")
	w.client.Identities[0].AllowPrivileged = true
	w.must(w.client, cert, true)
}

// The user's own bytes in the service file stay, whatever they are.
func TestServiceFileKeepsBytes(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5432)
	trust := task(t, "trust", clientTrust)
	for _, own := range []string{"[mine]\nhost=x\npassword=s3cret", "[mine]\nhost=x\n", "\n\n", "# käse\r\n[a]\r\nhost=b\r\n", "[a b]\nhost=\xff\n"} {
		w.emptyClient()
		w.sb.WriteFile("/home/app/.pg_service.conf", own, 0o640)
		w.sb.Shell("chown app:app /home/app/.pg_service.conf")
		w.must(w.client, trust, true)
		got := w.sb.ReadFile("/home/app/.pg_service.conf")
		if !strings.HasPrefix(got, own) || !strings.Contains(got, "# END pgfleet dbuser1\n") {
			t.Errorf("%q became %q", own, got)
		}
		w.sb.Shell("printf '[tail]\\nhost=t' >>/home/app/.pg_service.conf")
		w.serverSeen(5434)
		w.must(w.client, trust, true)
		again := w.sb.ReadFile("/home/app/.pg_service.conf")
		if want := strings.Replace(got, "port=5432", "port=5434", 1) + "[tail]\nhost=t"; again != want {
			t.Errorf("%q became %q, want %q", got, again, want)
		}
		if mode := w.sb.Shell("stat -c '%a %U' /home/app/.pg_service.conf"); mode != "640 app" {
			t.Error(mode)
		}
		w.must(w.client, trust, false)
		w.serverSeen(5432)
		result, _ := w.client.View.Get("identity:app:dbuser1")
		if strings.Contains(string(result.Stdout), "s3cret") {
			t.Error("a password of the user's own service was read")
		}
	}
}
