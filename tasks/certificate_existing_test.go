package tasks

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

// selfSigned makes a key and certificate of nobody's at $1.key and $1.crt inside.
const selfSigned = `openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=theirs -days 30 -keyout "$1.key" -out "$1.crt" 2>/dev/null`

func TestServerExisting(t *testing.T) {
	w := newWorld(t)
	w.startPostgres()
	w.sb.Shell(selfSigned+`; chown postgres "$1".*
printf "ssl = on\nssl_cert_file = '$1.crt'\nssl_key_file = '$1.key'\nssl_ca_file = '$1.crt'\n" >>/etc/postgresql/15/main/postgresql.conf; pg_ctlcluster 15 main restart`, "/var/lib/postgresql/theirs")
	with := func(kind, existing string, values map[string]any) Task {
		all := map[string]any{"existing": existing}
		for k, v := range values {
			all[k] = v
		}
		return task(t, kind, all)
	}
	w.refused(w.server, with("certificate", "stop", serverCertificate), "/var/lib/postgresql/theirs.crt", "existing: replace")
	w.must(w.server, with("certificate", "keep", serverCertificate), false)
	w.must(w.server, with("certificate", "replace", serverCertificate), true)
	w.must(w.server, with("certificate", "stop", serverCertificate), false)

	beside := map[string]any{"authorities": []any{"clients"}, "profile": "server", "only": "beside"}
	for _, trusts := range []map[string]any{serverTrusts, beside} {
		w.refused(w.server, with("trust", "stop", trusts), "/var/lib/postgresql/theirs.crt", "overlap")
	}
	w.refused(w.server, with("trust", "replace", beside), "theirs", "crl: no") // both are believed for now
	w.must(w.server, with("trust", "keep", serverTrusts), false)
	w.refused(w.server, with("trust", "overlap", serverTrusts), "theirs", "crl: no")
	without := map[string]any{"authorities": []any{"clients"}, "crl": false}
	w.must(w.server, with("trust", "overlap", without), true)
	w.must(w.server, with("trust", "overlap", without), false)
	w.must(w.server, with("trust", "replace", beside), false)
	if got := w.sb.Shell("grep -c BEGIN /etc/pgfleet/15-main/trust-*.pem"); got != "3" {
		t.Errorf("%s authorities in the file, want ours and theirs", got)
	}
	w.reload()
	w.must(w.server, with("trust", "keep", without), false)
	w.refused(w.server, with("trust", "stop", serverTrusts), "theirs", "existing: overlap")
	w.must(w.server, with("trust", "replace", serverTrusts), true)
	w.must(w.server, with("trust", "stop", serverTrusts), false)
	if got := w.sb.Shell("grep -c 'BEGIN CERT' $(sed -n \"s/^ssl_ca_file = '\\(.*\\)'/\\1/p\" /etc/pgfleet/15-main/pgfleet.conf)"); got != "2" {
		t.Errorf("%s authorities in the file, want ours alone", got)
	}
	if got := w.sb.Shell("sha256sum /var/lib/postgresql/theirs.crt | wc -l"); got != "1" {
		t.Error("their file is gone")
	}
}

func TestServerDataDirectory(t *testing.T) {
	w := newWorld(t)
	w.startPostgres()
	cert := task(t, "certificate", map[string]any{"issuer": "servers", "tls_dir": "data"})
	change, err := w.check(w.server, cert)
	if err != nil || change == nil || !strings.Contains(strings.Join(change.Notes, ""), "pg_basebackup") {
		t.Fatal(change, err)
	}
	w.must(w.server, cert, true)
	w.must(w.server, cert, false)
	const data = "/var/lib/postgresql/15/main/"
	if got := w.sb.Shell("cd " + data + " && stat -c '%n %U %a' server.key server.crt"); got != "server.key postgres 600\nserver.crt postgres 600" {
		t.Error(got)
	}
	w.reload()
	w.must(w.server, cert, false)
	w.sb.Shell("chmod 640 " + data + "server.crt")
	w.must(w.server, cert, true)
	w.must(w.server, cert, false)
	// Back to our own folder.
	w.must(w.server, task(t, "certificate", serverCertificate), true)
	w.reload()
	w.must(w.server, task(t, "certificate", serverCertificate), false)
}

func TestServerRepairs(t *testing.T) {
	w := newWorld(t)
	w.startPostgres()
	cert := task(t, "certificate", serverCertificate)
	w.must(w.server, cert, true)
	key := w.sb.Shell("ls /etc/pgfleet/15-main/v/*/server.key")
	for _, harm := range []string{"chmod 644 $1", "chown postgres $1", "chmod 700 ${1%/*}", "chmod 600 ${1%.key}.crt", "mkdir ${1%/v/*}/v/20200101T000000Z ${1%/v/*}/v/20200101T000001Z"} {
		w.sb.Shell(harm, key)
		w.must(w.server, cert, true)
		w.must(w.server, cert, false)
		if got := w.sb.Shell("stat -c '%U:%G %a' $1 ${1%.key}.crt ${1%/*}", key); got != "root:postgres 640\nroot:root 644\nroot:root 755" {
			t.Errorf("%s: %s", harm, got)
		}
	}
	if n := len(w.ca.issued); n != 1 {
		t.Errorf("%d certificates, want 1", n)
	}
	// Another key in the place of ours: the pair does not match, a new certificate is needed.
	w.sb.Shell("openssl genpkey -algorithm RSA -out $1 2>/dev/null", key)
	w.must(w.server, cert, true)
	w.must(w.server, cert, false)
	w.reload()
	w.sb.Shell("ln -s /etc /etc/pgfleet/15-main/link; rm -r /etc/pgfleet/15-main/v; ln -s /tmp /etc/pgfleet/15-main/v")
	w.refused(w.server, cert, "/etc/pgfleet/15-main/v", "symbolic link")
}

// A key whose public half was forged to fit a certificate does not get in force, nor what does not lead to its root: each looked at by itself, and all at once.
func TestTamperedKey(t *testing.T) {
	w := newWorld(t)
	w.sb.Shell(selfSigned, "/tmp/a")
	run := func(program string, args ...string) transport.Result {
		results, err := w.conn.Do(t.Context(), transport.Step{Shell: certificateCheckProgram + program, Argv: args})
		if err != nil {
			t.Fatal(err)
		}
		return results[0]
	}
	w.sb.Shell(`openssl ecparam -name prime256v1 -genkey -noout -out /tmp/b.key; openssl req -x509 -new -key /tmp/b.key -subj /CN=b -out /tmp/b.crt; openssl ecparam -name prime256v1 -genkey -noout -out /tmp/c.key
# private half of c, public half of b
openssl ec -in /tmp/c.key -outform DER -no_public -out /tmp/c.der 2>/dev/null; openssl pkey -in /tmp/b.key -pubout -outform DER | tail -c 65 >/tmp/b.pub
priv=$(openssl ec -in /tmp/c.key -outform DER 2>/dev/null | od -An -tx1 | tr -d ' \n' | cut -c15-78); pub=$(od -An -tx1 /tmp/b.pub | tr -d ' \n')
hex=30770201010420${priv}a00a06082a8648ce3d030107a144034200$pub
printf "$(printf %s "$hex" | sed 's/../\\x&/g')" >/tmp/f.der 2>/dev/null || true
bash -c 'printf "$(sed "s/../\\\\x&/g")"' <<X >/tmp/f.der
$hex
X
openssl pkey -inform DER -in /tmp/f.der -out /tmp/f.key && cp /tmp/b.crt /tmp/f.crt`)
	w.sb.Shell(`openssl req -x509 -newkey rsa:2048 -nodes -keyout /tmp/s.key -subj /CN=s -addext extendedKeyUsage=serverAuth -out /tmp/s.crt 2>/dev/null`)
	const each, short = `belong "$1.key" "$1.crt"; proven "$1.key" "$1.crt"; leads sslclient "$1.crt" "$2"`, `fits sslclient "$1.key" "$1.crt" "$2"`
	for _, c := range []struct{ pair, issuers, wrong string }{
		{"/tmp/a", "/tmp/a.crt", ""},
		{"/tmp/f", "/tmp/f.crt", "tampered"},
		{"/tmp/b", "/tmp/a.crt", "not accepted"},
		{"/tmp/s", "/tmp/s.crt", "not accepted"},
		{"/tmp/none", "/tmp/a.crt", "cannot be read as a key"},
	} {
		for _, program := range []string{each, short, "belong() { exit 1; }; " + short} {
			if r := run(program, c.pair, c.issuers); (r.Err == nil) != (c.wrong == "") || !strings.HasPrefix(program, "belong()") && !strings.Contains(string(r.Stderr), c.wrong) {
				t.Errorf("%s: %s: %v %s", program, c.pair, r.Err, r.Stderr)
			}
		}
	}
}

// The article's own places: libpq's default names, and client.crt with client.key.
func TestClientOwnPlaces(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5432)
	w.client.Identities[0].Default = true
	values := map[string]any{"issuer": "clients", "tls_dir": "home"}
	trust, cert := task(t, "trust", map[string]any{"authorities": []any{"servers"}, "crl": "yes"}), task(t, "certificate", values)
	w.must(w.client, trust, true)
	w.must(w.client, cert, true)
	w.must(w.client, trust, false)
	w.must(w.client, cert, false)
	list := func() string {
		return w.sb.Shell("cd /home/app/.postgresql && stat -c '%n %U %a' *.* && cmp client.crt postgresql.crt && cmp client.key postgresql.key && cmp pgfleet/dbuser1/root.crt root.crt")
	}
	want := "client.crt app 600\nclient.key app 600\npostgresql.crt app 600\npostgresql.key app 600\nroot.crl app 600\nroot.crt app 600"
	if got := list(); got != want {
		t.Error(got)
	}
	if got := w.sb.ReadFile("/home/app/.pg_service.conf"); !strings.Contains(got, "sslcert=/home/app/.postgresql/client.crt\nsslkey=/home/app/.postgresql/client.key\n") {
		t.Error(got)
	}
	values["force"], values["new_key"] = true, true
	w.must(w.client, task(t, "certificate", values), true)
	w.must(w.client, cert, false)
	if got := list(); got != want {
		t.Error(got)
	}
	w.sb.Shell("rm /home/app/.postgresql/postgresql.key; chmod 644 /home/app/.postgresql/client.key")
	w.must(w.client, cert, true)
	if got := list(); got != want {
		t.Error(got)
	}
}

func TestClientForeignFiles(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5432)
	w.client.Identities[0].Default = true
	cert := func(existing string) Task {
		return task(t, "certificate", map[string]any{"issuer": "clients", "existing": existing})
	}
	trust := func(existing string) Task {
		return task(t, "trust", map[string]any{"authorities": []any{"servers"}, "existing": existing})
	}
	w.sb.Shell(`cd /home/app && mkdir -m 700 .postgresql && cd .postgresql && ` + strings.ReplaceAll(selfSigned, "$1", "postgresql") + `; cp postgresql.crt root.crt; chown -R app:app .`)
	sum := func() string {
		return w.sb.Shell("cd /home/app/.postgresql && sha256sum postgresql.crt postgresql.key root.crt")
	}
	before := sum()
	w.refused(w.client, cert("stop"), "/home/app/.postgresql/postgresql.crt")
	w.refused(w.client, trust("stop"), "/home/app/.postgresql/root.crt")
	w.must(w.client, trust("keep"), true)
	w.must(w.client, trust("keep"), false)
	w.must(w.client, cert("keep"), true)
	w.must(w.client, cert("keep"), false)
	if sum() != before {
		t.Error("kept files changed")
	}
	w.must(w.client, trust("overlap"), true)
	w.must(w.client, trust("overlap"), false)
	w.refused(w.client, trust("stop"), "theirs", "existing: overlap")
	w.must(w.client, trust("replace"), true)
	w.must(w.client, trust("replace"), false)
	w.must(w.client, cert("replace"), true)
	w.must(w.client, cert("stop"), false)
	w.must(w.client, trust("stop"), false)
	kept := w.sb.Shell("cd /home/app/.postgresql && sha256sum *.before-pgfleet | sed s/.before-pgfleet//")
	for _, line := range strings.Split(before, "\n") {
		if !strings.Contains(kept, line) {
			t.Errorf("no copy of %s in\n%s", line, kept)
		}
	}
}

func TestRevokedIsReplaced(t *testing.T) {
	for _, c := range []struct {
		reason, keys int
	}{{4, 1}, {1, 2}} { // superseded keeps the key (W6, W26), keyCompromise does not
		t.Run(fmt.Sprint("reason ", c.reason), func(t *testing.T) {
			w := newWorld(t)
			w.serverSeen(5432)
			cert := task(t, "certificate", clientCertificate)
			w.must(w.client, cert, true)
			w.ca.publish(t, "clients", 2, x509.RevocationListEntry{SerialNumber: w.ca.issued[0].SerialNumber, RevocationTime: w.ca.now, ReasonCode: c.reason})
			change, err := w.check(w.client, cert)
			if err != nil || change == nil || !strings.Contains(change.Summary, "revoked") {
				t.Fatal(change, err)
			}
			w.must(w.client, cert, true)
			w.must(w.client, cert, false)
			if got := w.sb.Shell("sha256sum /home/app/.postgresql/pgfleet/dbuser1/v/*/client.key | cut -c1-64 | sort -u | wc -l"); got != fmt.Sprint(c.keys) {
				t.Errorf("%s different keys, want %d", got, c.keys)
			}
		})
	}
}

func TestDueAndPending(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5432)
	cert := task(t, "certificate", clientCertificate)
	w.must(w.client, cert, true)
	w.fleet.Now = w.fleet.Now.Add(300 * 24 * time.Hour)
	change, err := w.check(w.client, cert)
	if err != nil || change == nil || !strings.Contains(change.Summary, "renew") || !strings.Contains(change.Diff, "- serial") {
		t.Fatal(change, err)
	}
	delete(w.ca.certs, "clients")
	for _, kind := range []Task{cert, task(t, "trust", map[string]any{"authorities": []any{"clients"}})} {
		if _, err := w.check(w.client, kind); !errors.Is(err, ErrPending) {
			t.Errorf("%T: %v, want pending", kind, err)
		}
	}
}

func TestManyIdentitiesInThreeRoundTrips(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5432)
	w.sb.Shell("useradd -m web")
	w.client.Identities = append(w.client.Identities, Identity{OSUser: "app", DBUser: "Mixed Case@x/y", Databases: []string{"sales"}}, Identity{OSUser: "web", DBUser: "dbuser1"})
	w.must(w.client, task(t, "trust", clientTrust), true)
	w.trips = 0
	cert := task(t, "certificate", clientCertificate)
	w.must(w.client, cert, true)
	if w.trips != 3 {
		t.Errorf("%d round trips, want 3", w.trips)
	}
	w.must(w.client, cert, false)
	w.must(w.client, task(t, "trust", clientTrust), false)
	services, err := Services(w.client)
	if err != nil || len(services) != 3 || services[1].Name != "Mixed Case@x/y@db1" || services[1].DB != "sales" || !services[2].Installed {
		t.Errorf("%+v %v", services, err)
	}
	if got := w.sb.Shell("grep -c '^\\[' /home/app/.pg_service.conf /home/web/.pg_service.conf"); got != "/home/app/.pg_service.conf:2\n/home/web/.pg_service.conf:1" {
		t.Error(got)
	}
}
