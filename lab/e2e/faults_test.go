package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pgfleet/pgfleet/lab"
	"github.com/pgfleet/pgfleet/lab/labtest"
)

// hba is a server's pg_hba.conf in Debian's place.
const hba = "/etc/postgresql/15/main/pg_hba.conf"

// TestFaults breaks one thing at a time and reads what the user is told. Each time nothing of the user's is touched, the server can restart, and a run
// after the repair finishes.
func TestFaults(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 1, Client: 1})
	f.want(t, 0, nil, "run", shipped, "-t", "authorities")
	offer := []string{"run", shipped, "-t", "offer"}
	for _, c := range []struct {
		name string
		do   func(*testing.T, *fleet, []string)
	}{
		{"pg_hba.conf broken by hand", brokenRules}, {"full disk", fullDisk}, {"foreign certificate", foreignCertificate}, {"ALTER SYSTEM", alterSystem},
		{"two runs at once", twoRuns}, {"Ctrl-C", interrupted}, {"planted link", plantedLink},
		{"unknown host key", unknownKey}, {"wrong host key", wrongKey}, {"host is off", hostOff},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.reset(t, "db1", "app1")
			c.do(t, f, offer)
		})
	}
	f.reset(t, "db1", "app1")
	f.finishes(t)
}

// starts sees that the server starts with what is on disk.
func (f *fleet) starts(t *testing.T, db string) {
	t.Helper()
	f.sh(t, db, "pg_ctlcluster 15 main restart -m fast")
	if got := f.sql(t, db, "select 1"); got != "1" {
		t.Errorf("%s answers %q", db, got)
	}
}

func brokenRules(t *testing.T, f *fleet, offer []string) {
	f.sh(t, "db1", "echo 'host all all 10.0.0.0/33 md5' >>"+hba)
	before := f.sh(t, "db1", "sha256sum "+hba+"; grep -c '' "+hba)
	line := before[strings.LastIndex(before, "\n")+1:]
	f.want(t, 2, []string{hba + ":" + line + ": invalid CIDR mask", "repair the file, then run again"}, offer...)
	f.want(t, 2, []string{hba + ":" + line}, "task", "postgres_hba", "-l", "db1.example.net", "enforce=password", "--accept-refusals")
	if after := f.sh(t, "db1", "sha256sum "+hba+"; grep -c '' "+hba); after != before {
		t.Errorf("pg_hba.conf was touched: before %s, after %s", before, after)
	}
	f.sh(t, "db1", "sed -i '$d' "+hba)
	f.starts(t, "db1")
	f.want(t, 0, nil, offer...)
}

func fullDisk(t *testing.T, f *fleet, offer []string) {
	f.sh(t, "db1", "mkdir -p /etc/pgfleet; mount -t tmpfs -o size=128k,mode=755 none /etc/pgfleet; head -c 1000000 /dev/zero >/etc/pgfleet/fill || :")
	f.want(t, 2, []string{"db1.example.net", "No space left on device"}, offer...)
	f.starts(t, "db1")
	f.sh(t, "db1", "rm /etc/pgfleet/fill")
	f.want(t, 0, nil, offer...)
	f.sh(t, "db1", "head -c 1000000 /dev/zero >/etc/pgfleet/fill || :")
	f.want(t, 2, []string{"db1.example.net", "No space left on device"}, "task", "certificate", "-l", "db1.example.net", "issuer=servers", "profile=server", "force=yes")
	f.starts(t, "db1")
	f.want(t, 2, []string{"db1.example.net", "No space left on device"}, "task", "trust", "-l", "db1.example.net", "authorities=clients", "profile=server")
	f.starts(t, "db1")
	f.sh(t, "db1", "rm /etc/pgfleet/fill")
	f.sh(t, "ca3", "mount -t tmpfs -o size=256k,mode=755 none /mnt; cp -a /etc/pgfleet/. /mnt; mount --move /mnt /etc/pgfleet; head -c 1000000 /dev/zero >/etc/pgfleet/fill || :")
	f.want(t, 2, []string{"authority servers: cannot write to /etc/pgfleet/ca/servers: No space left on device"}, "task", "certificate", "-l", "db1.example.net", "issuer=servers", "profile=server", "force=yes")
	f.sh(t, "ca3", "umount /etc/pgfleet")
	f.want(t, 0, nil, offer...)
}

func foreignCertificate(t *testing.T, f *fleet, offer []string) {
	f.sh(t, "db1", `cd /etc/postgresql/15/main
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout own.key -out own.crt -subj /CN=own -days 90 2>/dev/null
chown postgres own.key
printf "ssl_cert_file = '%s'\nssl_key_file = '%s'\n" $PWD/own.crt $PWD/own.key >conf.d/own.conf
pg_ctlcluster 15 main reload`)
	f.want(t, 2, []string{"uses the certificate /etc/postgresql/15/main/own.crt, which is not pgfleet's", "existing: replace"}, offer...)
	if got := f.sql(t, "db1", "show ssl_cert_file"); got != "/etc/postgresql/15/main/own.crt" {
		t.Errorf("ssl_cert_file is %s", got)
	}
	f.starts(t, "db1")
}

func alterSystem(t *testing.T, f *fleet, offer []string) {
	f.sql(t, "db1", "alter system set ssl_cert_file = '/etc/ssl/certs/ssl-cert-snakeoil.pem'")
	f.want(t, 2, []string{"ssl_cert_file is set to", "by ALTER SYSTEM (/var/lib/postgresql/15/main/postgresql.auto.conf line", "run ALTER SYSTEM RESET ssl_cert_file"}, offer...)
	f.starts(t, "db1")
	f.sql(t, "db1", "alter system reset ssl_cert_file")
	f.want(t, 0, nil, offer...)
	f.sql(t, "db1", "alter system set ssl_ca_file = '/etc/ssl/certs/ssl-cert-snakeoil.pem'")
	f.want(t, 2, []string{"run ALTER SYSTEM RESET ssl_ca_file"}, "task", "trust", "-l", "db1.example.net", "authorities=clients", "profile=server", "existing=replace")
	f.starts(t, "db1")
}

// working starts a run and returns once it works on the server, which its lease there shows.
func working(t *testing.T, f *fleet, args []string) *process {
	t.Helper()
	for range 5 {
		p := f.start(t, args...)
		f.sh(t, "db1", "n=0; until [ -e /run/pgfleet/lock ]; do sleep 0.01; n=$((n + 1)); [ $n -lt 3000 ]; done")
		select {
		case <-p.ended: // too late: there was not much to do
			f.reset(t, "db1")
		default:
			return p
		}
	}
	t.Fatal("no run could be met at work")
	return nil
}

func twoRuns(t *testing.T, f *fleet, offer []string) {
	first := working(t, f, offer)
	if err := first.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	owner := f.sh(t, "db1", "sed -n 2p /run/pgfleet/lock")
	f.want(t, 6, []string{"db1.example.net is held by " + owner, "wait for that run to end"}, offer...)
	f.want(t, 6, []string{"not gone on with: db1.example.net held by another run"}, "run", shipped)
	if err := first.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if code := first.code(); code != 0 {
		t.Errorf("the first run ends with %d:\n%s", code, first.out.String())
	}
	f.want(t, 0, nil, offer...)
}

func interrupted(t *testing.T, f *fleet, offer []string) {
	p := working(t, f, offer)
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := p.code(); code != 130 {
		t.Errorf("exit %d, want 130:\n%s", code, p.out.String())
	}
	if out := p.out.String(); !strings.Contains(out, "interrupted") {
		t.Errorf("it does not say that it was interrupted:\n%s", out)
	}
	f.starts(t, "db1")
	f.want(t, 0, nil, offer...)
}

func plantedLink(t *testing.T, f *fleet, offer []string) {
	f.want(t, 0, nil, offer...)
	look := "cd /root && ls -lan --time-style=full-iso . && sha256sum *"
	for _, place := range []string{".postgresql", ".postgresql/pgfleet", ".postgresql/pgfleet/dbuser1", ".pg_service.conf"} {
		f.sh(t, "app1", `rm -rf /var/lib/postgresql/.postgresql /var/lib/postgresql/.pg_service.conf
echo precious >/root/precious; chmod 600 /root/precious
path=/var/lib/postgresql/$1
mkdir -p "${path%/*}"
case $1 in .pg_service.conf) ln -s /root/precious "$path" ;; *) ln -s /root "$path" ;; esac
chown -hR postgres:postgres /var/lib/postgresql/.p*`, place)
		before := f.sh(t, "app1", look)
		f.want(t, 2, []string{"/var/lib/postgresql/" + place, "app1.example.net is a symbolic link to /root"}, "run", shipped, "-t", "clients")
		if after := f.sh(t, "app1", look); after != before {
			t.Errorf("%s: the link's target was touched: before\n%s\nafter\n%s", place, before, after)
		}
	}
}

func unknownKey(t *testing.T, f *fleet, offer []string) {
	known := filepath.Join(t.TempDir(), "known_hosts")
	g := f.with(t, filepath.Join(f.lab.Folder(), "known_hosts"), known)
	g.want(t, 4, []string{"the host key of " + f.addr(t, "db1") + " is not known", "pgfleet trust db1.example.net"}, append(offer, "-l", "db1.example.net")...)
	if text, err := os.ReadFile(known); err == nil {
		t.Errorf("a key was recorded without being asked to: %s", text)
	}
	g.want(t, 0, nil, "trust", "--all", "-y")
	g.want(t, 0, nil, offer...)
}

func wrongKey(t *testing.T, f *fleet, offer []string) {
	f.sh(t, "db1", `rm /etc/ssh/ssh_host_*
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
ssh-keygen -q -t ecdsa -N '' -f /etc/ssh/ssh_host_ecdsa_key
`+reloadSSHD)
	out := f.want(t, 4, []string{"db1.example.net", "host key", "pgfleet trust"}, offer...)
	if !strings.Contains(out, "somebody") {
		t.Errorf("it does not say what a wrong key can mean:\n%s", out)
	}
	if got := labtest.Exec(t, f.lab, "db1", "sh", "-c", "ls /etc/pgfleet 2>/dev/null || :"); got != "" {
		t.Errorf("something was done on the host: %s", got)
	}
}

func hostOff(t *testing.T, f *fleet, offer []string) {
	if err := f.lab.Stop(t.Context(), "db1"); err != nil {
		t.Fatal(err)
	}
	f.want(t, 4, []string{"unreachable   db1.example.net", "no connection within"}, append(offer, "-e", "ssh_connect_timeout=2s")...)
	if err := f.lab.Start(t.Context(), "db1"); err != nil {
		t.Fatal(err)
	}
	f.want(t, 0, nil, offer...)
}
