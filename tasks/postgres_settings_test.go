package tasks

import (
	"slices"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/transport/transporttest"
)

func TestSurveyOfTwoClusters(t *testing.T) {
	p := newPGHost(t)
	main, two := p.cluster("15/main"), p.cluster("15/two")
	if !main.Running || main.Problem != "" || main.Port != 5432 || main.VersionNum/10000 != 15 || main.Dir != "/etc/pgfleet/15-main" || main.OSUser != "postgres" ||
		main.BinDir != "/usr/lib/postgresql/15/bin" || main.HBAFile != "/etc/postgresql/15/main/pg_hba.conf" || main.LoadTime.IsZero() {
		t.Errorf("main: %+v", main)
	}
	if string(main.HBA) != p.ReadFile(main.HBAFile) || string(main.Config) != p.ReadFile(main.ConfigFile) || string(main.Ident) != p.ReadFile(main.IdentFile) {
		t.Error("files of main are not as on disk")
	}
	if len(main.Served) != 1 || main.ServedProblem != "" || len(main.Databases) == 0 || len(main.Roles) != 1 {
		t.Errorf("served %d %s, databases %v, roles %v", len(main.Served), main.ServedProblem, main.Databases, main.Roles)
	}
	key := main.Files["/etc/ssl/private/ssl-cert-snakeoil.key"]
	if !strings.HasPrefix(string(key.Bytes), "-----BEGIN PUBLIC KEY-----") || strings.Contains(string(key.Bytes), "PRIVATE") || !key.Readable || key.Group != "ssl-cert" {
		t.Errorf("key: %+v", key)
	}
	if two.Running || two.Problem != "" || two.Port != 5433 || two.HBAFile != "/etc/postgresql/15/two/pg_hba.conf" || len(two.HBA) == 0 || two.Settings["ssl"].Value != "on" {
		t.Errorf("two: %+v", two)
	}
}

func TestSettingsComeIntoForce(t *testing.T) {
	p := newPGHost(t)
	before := p.ReadFile("/etc/postgresql/15/main/postgresql.conf")
	task := &postgresSettings{Settings: map[string]string{"ssl_min_protocol_version": "TLSv1.3", "log_line_prefix": `it's \ %m `, "work_mem": "8MB"}}
	p.must(true, task)
	p.must(false, task)
	if got := p.ReadFile("/etc/postgresql/15/main/postgresql.conf"); got != before+"include '/etc/pgfleet/15-main/pgfleet.conf' # pgfleet: keep this line last\n" {
		t.Errorf("postgresql.conf ends with %q", got[len(got)-200:])
	}
	if owner := p.Exec("stat", "-c", "%U:%G %a", "/etc/postgresql/15/main/postgresql.conf"); owner != "postgres:postgres 644" {
		t.Error(owner)
	}
	reload := &postgresReload{WithProof: true}
	p.host.Fleet.CA = testCAs{}
	p.must(true, reload)
	p.must(false, reload)
	if got := p.sql("show log_line_prefix"); got != `it's \ %m ` {
		t.Errorf("%q", got)
	}
	if got := p.sql("show ssl_min_protocol_version"); got != "TLSv1.3" {
		t.Error(got)
	}
	p.restarts("main")
	p.must(false, task)
	p.must(false, reload)
	if c := p.cluster("15/main"); len(c.Undo) != 0 || len(c.Copies) != 1 || c.Copies[0].State != "proved" {
		t.Errorf("copies %+v", c.Copies)
	}

	// What ALTER SYSTEM changes at the next reload is seen while the wanted value is still in force: a reload for another reason would bring it about.
	p.sql("alter system set ssl_min_protocol_version = 'TLSv1.1'")
	p.refused(task, "ALTER SYSTEM RESET ssl_min_protocol_version")
	p.refused(reload, "ALTER SYSTEM RESET ssl_min_protocol_version")
	if got := p.sql("show ssl_min_protocol_version"); got != "TLSv1.3" {
		t.Error(got)
	}
}

func TestSettingsOfAStoppedCluster(t *testing.T) {
	p := newPGHost(t)
	p.host.Clusters = []string{"15/two"}
	task := &postgresSettings{Settings: map[string]string{"ssl_min_protocol_version": "TLSv1.3"}}
	p.must(true, task)
	p.must(false, task)
	p.must(false, &postgresReload{WithProof: true})
	p.Exec("pg_ctlcluster", "15", "two", "start")
	if got := p.Exec("runuser", "-u", "postgres", "--", "/usr/lib/postgresql/15/bin/psql", "-p", "5433", "-XAtqc", "show ssl_min_protocol_version"); got != "TLSv1.3" {
		t.Error(got)
	}
}

func TestSettingsRefused(t *testing.T) {
	p := newPGHost(t)
	conf := p.ReadFile("/etc/postgresql/15/main/postgresql.conf")
	p.refused(&postgresSettings{Settings: map[string]string{"ssl_groups": "X25519"}}, "ssl_groups exists from PostgreSQL 18 on, this is 15")
	p.sql("alter system set ssl_min_protocol_version = 'TLSv1.1'")
	p.sql("select pg_reload_conf()")
	p.refused(&postgresSettings{Settings: map[string]string{"ssl_min_protocol_version": "TLSv1.2"}}, "ALTER SYSTEM RESET ssl_min_protocol_version", "postgresql.auto.conf")
	p.sql("alter system reset ssl_min_protocol_version")
	p.sql("select pg_reload_conf()")

	if err := p.run(&postgresSettings{Settings: map[string]string{"no_such_setting": "1"}}); err == nil || !strings.Contains(err.Error(), "nothing was changed: unrecognized configuration parameter") {
		t.Error(err)
	}
	if err := p.run(&postgresSettings{Settings: map[string]string{"work_mem": "lots"}}); err == nil || !strings.Contains(err.Error(), "work_mem") {
		t.Error(err)
	}
	if got := p.ReadFile("/etc/postgresql/15/main/postgresql.conf"); got != conf {
		t.Error("postgresql.conf was changed by a refused task")
	}
	p.Shell("echo 'shared_buffers = many' >>/etc/postgresql/15/main/postgresql.conf")
	if err := p.run(&postgresSettings{Settings: map[string]string{"work_mem": "8MB"}}); err == nil || !strings.Contains(err.Error(), `invalid value for parameter "shared_buffers"`) {
		t.Error(err)
	}
	p.Shell("echo 'no quote' >>/etc/postgresql/15/main/postgresql.conf; echo \"ssl_ciphers = 'HIGH\" >>/etc/postgresql/15/main/postgresql.conf")
	p.refused(&postgresSettings{Settings: map[string]string{"work_mem": "8MB"}}, "/etc/postgresql/15/main/postgresql.conf:", "syntax error")
}

// A data directory elsewhere, with its configuration inside, is found while its server runs; two of one name are kept apart.
func TestDataDirectoriesElsewhere(t *testing.T) {
	p := newPGHost(t)
	p.Shell(`set -e
		for n in a b; do
			mkdir -p /srv/$n; chown postgres:postgres /srv/$n
			cp -a /var/lib/postgresql/15/two /srv/$n/data
			cp -a /etc/postgresql/15/two/pg_hba.conf /etc/postgresql/15/two/pg_ident.conf /srv/$n/data/
			printf "port = 60%s\nunix_socket_directories = '/srv/%s'\nlisten_addresses = '127.0.0.1'\n" "$(printf %d "'$n")" $n >/srv/$n/data/postgresql.conf
			chown postgres:postgres /srv/$n/data/postgresql.conf
			runuser -u postgres -- /usr/lib/postgresql/15/bin/pg_ctl -D /srv/$n/data -w -l /srv/$n/log start >/dev/null
		done`)
	a, b := p.cluster("15/a-data"), p.cluster("15/b-data")
	if a.DataDir != "/srv/a/data" || b.DataDir != "/srv/b/data" || a.Port != 6097 || a.Dir != "/etc/pgfleet/15-a-data" || a.Problem != "" || a.HBAFile != "/srv/a/data/pg_hba.conf" {
		t.Errorf("a: %+v", a)
	}
	p.host.Clusters = []string{"15/a-data"}
	p.must(true, &postgresSettings{Settings: map[string]string{"work_mem": "9MB"}})
	p.must(true, &postgresReload{})
	p.must(false, &postgresReload{})
	// The other goes away: this one keeps its name and folder.
	p.Shell("runuser -u postgres -- /usr/lib/postgresql/15/bin/pg_ctl -D /srv/b/data -m fast stop >/dev/null")
	p.must(false, &postgresSettings{Settings: map[string]string{"work_mem": "9MB"}})
	p.host.Clusters = []string{"15/nosuch"}
	p.refused(&postgresReload{}, "cluster 15/nosuch is not on db1; found: ", "15/a-data")
}

// The probe counts bytes: names in UTF-8 must not upset it in any shell or locale.
func TestProbeInEveryShell(t *testing.T) {
	p := newPGHost(t)
	p.sql(`create role "Übergröße€"`)
	p.Shell("echo '# ümläut €' >>/etc/postgresql/15/main/pg_hba.conf")
	for _, shell := range [][]string{{"dash"}, {"busybox", "sh"}, {"bash", "--posix"}} {
		switcher := "setpriv"
		if shell[0] == "busybox" {
			switcher = "runuser" // it takes its own setpriv
		}
		for _, locale := range []string{"C", "C.UTF-8"} {
			look := func(told ...string) ([]*Cluster, error) {
				words := slices.Concat([]string{"PGFLEET_SWITCHER=" + switcher, "LANG=" + locale}, shell, []string{"-c", postgresAs + postgresProbeProgram, "sh", postgresReaderProgram, "known", "served"}, told, []string{"localhost"})
				out, err := p.Command(t.Context(), "env", words...).Output()
				if err != nil {
					t.Fatal(shell, err)
				}
				return parseClusters(out)
			}
			list, err := look("0")
			if err != nil || len(list) != 2 || len(list[0].Roles) != 2 || list[0].Roles[1].Name != "Übergröße€" || !strings.HasSuffix(string(list[0].HBA), "# ümläut €\n") {
				t.Errorf("%v in %s: %v", shell, locale, err)
				continue
			}
			var view View
			list[0].OSIDs = p.Shell("id -u postgres") + ":" + p.Shell("id -g postgres")
			view.remember(list[:1])
			again, err := look(view.servers()...)
			if err != nil || len(again) != 1 || again[0].PID != list[0].PID || string(again[0].HBA) != string(list[0].HBA) || len(again[0].Roles) != 2 {
				t.Errorf("again, %v in %s: %d clusters, %v", shell, locale, len(again), err)
			}
		}
	}
}

// A certificate that ALTER SYSTEM names, with a key that our file names, is a server that does not start: seen before anything is changed, also where the
// server is stopped and cannot be asked.
func TestSettingsThatWouldNotStart(t *testing.T) {
	p := newPGHost(t)
	p.host.Clusters = []string{"15/two"}
	p.Shell(`cd /var/lib/postgresql/15/two
for n in a b; do
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $n.key -out $n.crt -subj /CN=$n 2>/dev/null
done
chown postgres: a.* b.*; chmod 600 *.key
echo "ssl_cert_file = 'a.crt'" >>postgresql.auto.conf
echo "ssl_key_file = 'a.key'" >>/etc/postgresql/15/two/postgresql.conf`)
	files := map[string]string{"ssl": "on", "ssl_cert_file": "/var/lib/postgresql/15/two/b.crt", "ssl_key_file": "/var/lib/postgresql/15/two/b.key"}
	err := p.run(&postgresSettings{Settings: files})
	if err == nil || !strings.Contains(err.Error(), "do not belong together") || !strings.Contains(err.Error(), "ALTER SYSTEM") {
		t.Error(err)
	}
	p.Exec("pg_ctlcluster", "15", "two", "start")
}

// Below a default ACL no umask counts: copies of what a server's configuration was before, which may hold passwords, are closed to others all the same.
func TestCopiesBelowADefaultACL(t *testing.T) {
	p := newPGHost(t)
	p.Shell(transporttest.DefaultACL, "/etc")
	if err := p.run(&postgresSettings{Settings: map[string]string{"work_mem": "8MB"}}); err != nil {
		t.Fatal(err)
	}
	if open := p.Shell("stat -c '%a %n' /etc/pgfleet/15-main/.undo /etc/pgfleet/15-main/.undo/* | grep -v ^700 || true"); open != "" {
		t.Error(open)
	}
}

// A disk that is too full for the copy of what was before is called that.
func TestCopiesOnAFullDisk(t *testing.T) {
	p := newPGHost(t)
	p.Shell("mkdir -m 755 /etc/pgfleet && mount -t tmpfs -o size=8k,mode=755 none /etc/pgfleet")
	if err := p.run(&postgresSettings{Settings: map[string]string{"work_mem": "8MB"}}); err == nil || !strings.Contains(err.Error(), "No space left on device") {
		t.Fatal(err)
	}
}
