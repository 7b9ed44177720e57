package e2e_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgfleet/pgfleet/lab"
)

// badFiles makes, in /tmp/bad: two authorities with their lists, an expired list, DER, a key with a passphrase, a leaf.
const badFiles = `umask 022; mkdir /tmp/bad; cd /tmp/bad
ca() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 100 -subj "/CN=$1" -keyout $1.key -out $1.crt -addext keyUsage=critical,keyCertSign,cRLSign
	: >$1.idx; echo 01 >$1.num
	printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s.idx\ncrlnumber=%s.num\ndefault_md=sha256\n' $1 $1 >$1.cnf
	openssl ca -config $1.cnf -gencrl -keyfile $1.key -cert $1.crt -crldays 30 -out $1.crl
}
{ ca one; ca two; } 2>/dev/null
openssl ca -config one.cnf -gencrl -keyfile one.key -cert one.crt -crl_lastupdate 20200101000000Z -crl_nextupdate 20200201000000Z -out ended.crl 2>/dev/null
openssl x509 -in one.crt -outform DER -out one.der
openssl pkey -in one.key -aes256 -passout pass:secret -out secret.key
openssl req -newkey rsa:2048 -nodes -keyout leaf.key -subj /CN=dbuser1 -out leaf.csr 2>/dev/null
openssl x509 -req -in leaf.csr -CA one.crt -CAkey one.key -set_serial 77 -out leaf.crt 2>/dev/null
cat one.crt ended.crl >one-ended.pem; cat one.crt two.crl >one-two.pem
chown postgres *.key; chmod 600 *.key`

// state is everything that a command could change: files of the server, of the client and of the authorities, what is served, and what is in force.
func (f *fleet) state(t *testing.T) string {
	t.Helper()
	const digests = `for d; do find $d -type f ! -path '*/.undo/*' ! -name pgfleet.conf.pgfleet-check 2>/dev/null; done | sort | xargs -r sha256sum`
	const live = `
		openssl s_client -starttls postgres -connect 127.0.0.1:5432 </dev/null 2>/dev/null | openssl x509 -noout -serial
		runuser -u postgres -- ` + psqlPath + ` -XAtc "select name, setting from pg_settings where name ~ '^ssl' order by 1"`
	return strings.Join([]string{f.sh(t, "db1", digests+live, "/etc/pgfleet", "/etc/postgresql", "/var/lib/postgresql/15/main/postgresql.auto.conf"),
		f.sh(t, "app1", digests, home+"/.postgresql", home+"/.pg_service.conf"), f.sh(t, "ca1", digests, "/etc/pgfleet"), f.sh(t, "ca3", digests, "/etc/pgfleet")}, "\n")
}

// badCase is a bad file handed to a command.
type badCase struct {
	name string
	args []string
	code int
	says string
}

// TestBadFiles hands each command and task that takes certificates, keys or lists a bad one: refused before anything changes, with a reason.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 1, Client: 1})
	f.want(t, 0, nil, "run", shipped)
	f.sh(t, "db1", badFiles)
	f.refuses(t, badSettings)
	f.refuses(t, f.badLocal(t))
	for _, c := range f.badExternal(t) {
		c.f.refuses(t, []badCase{c.badCase})
	}
	f.badAuthority(t)
	f.badPair(t)
	f.badForeign(t)
}

func (f *fleet) refuses(t *testing.T, cases []badCase) {
	t.Helper()
	before := f.state(t)
	for _, c := range cases {
		code, out := f.pgfleet(t, c.args...)
		if code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("%s: exit %d, want %d and %q:\n%s", c.name, code, c.code, c.says, out)
		}
		after := f.state(t)
		if diff := cmp.Diff(strings.Split(before, "\n"), strings.Split(after, "\n")); diff != "" {
			t.Errorf("%s: something has changed:\n%s", c.name, diff)
		}
		before = after
	}
}

func settingsCase(name, says string, settings ...string) badCase {
	return badCase{"settings: " + name, append([]string{"task", "postgres_settings", "-l", "db1.example.net"}, settings...), 2, says}
}

var badSettings = []badCase{
	settingsCase("CA file in DER", "CA file /tmp/bad/one.der holds a block that is no certificate in PEM form", "ssl_ca_file=/tmp/bad/one.der"),
	settingsCase("list in DER", "CRL file /tmp/bad/one.der holds a block that is no list of revoked certificates in PEM form", "ssl_crl_file=/tmp/bad/one.der"),
	settingsCase("expired list", "/tmp/bad/ended.crl has no list of authority CN=one that is valid at", "ssl_ca_file=/tmp/bad/one.crt", "ssl_crl_file=/tmp/bad/ended.crl"),
	settingsCase("list of another CA", "/tmp/bad/two.crl has no list of authority CN=one that is valid at", "ssl_ca_file=/tmp/bad/one.crt", "ssl_crl_file=/tmp/bad/two.crl"),
	settingsCase("list of another CA than the one in force", "/tmp/bad/two.crl has no list of authority CN=root-ca1 that is valid at", "ssl_crl_file=/tmp/bad/two.crl"),
	settingsCase("CA without a list", "has no list of authority CN=two that is valid at", "ssl_ca_file=/tmp/bad/two.crt"),
	settingsCase("another key", "certificate /tmp/bad/one.crt and private key /tmp/bad/two.key do not belong together", "ssl_cert_file=/tmp/bad/one.crt", "ssl_key_file=/tmp/bad/two.key"),
	settingsCase("passphrase", "private key /tmp/bad/secret.key has a passphrase", "ssl_cert_file=/tmp/bad/one.crt", "ssl_key_file=/tmp/bad/secret.key"),
}

// badLocal are files on the controller.
func (f *fleet) badLocal(t *testing.T) []badCase {
	folder := t.TempDir()
	revoke := func(name, says string) badCase {
		text := f.sh(t, "db1", "base64 -w0 /tmp/bad/$1", name)
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, decoded(t, text), 0o600); err != nil {
			t.Fatal(err)
		}
		return badCase{"revoke " + name, []string{"revoke", "--file", path, "-y"}, 5, says}
	}
	return []badCase{
		revoke("one.der", "is DER (binary), PEM is expected"),
		revoke("one.crl", `is of type "X509 CRL", a certificate is expected`),
		revoke("one.key", "holds a private key, which does not belong here"),
		revoke("leaf.crt", "no such certificate is on record at clients, servers, servers_root: the one in the file was issued by CN=one"),
	}
}

type externalCase struct {
	f *fleet
	badCase
}

// badExternal are files of an authority that is not ours.
func (f *fleet) badExternal(t *testing.T) []externalCase {
	folder := t.TempDir()
	var out []externalCase
	for name, says := range map[string]string{"one.der": "is DER (binary), PEM is expected", "one-ended.pem": "ended on 2020-02-01", "one-two.pem": "the list of revoked certificates of CN=two in its files", "one.crl": "no certificate in PEM found",
		"one.key": "holds a private key, which does not belong here", "leaf.crt": "dbuser1 is no authority's certificate"} {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, decoded(t, f.sh(t, "db1", "base64 -w0 /tmp/bad/$1", name)), 0o600); err != nil {
			t.Fatal(err)
		}
		theirs := f.with(t, "roles: [root_ca]", "roles: [spare]", `{host: ca1.example.net, subject: "CN=root-ca1", valid_for: 3650d}`, "{external: "+path+"}")
		args := []string{"task", "trust", "-l", "db1.example.net", `authorities:=["clients"]`, "profile=server", "existing=replace"}
		if name == "one.der" || name == "one-ended.pem" {
			args = []string{"run", shipped}
		}
		code := 5
		if name == "one-ended.pem" {
			code = 2 // time passes between two runs
		}
		out = append(out, externalCase{theirs, badCase{args[0] + " with external: " + name, args, code, says}})
	}
	return out
}

// commands are those into which an authority's own files go, but for those that mend them.
func commands(says string) (all []badCase) {
	for _, args := range [][]string{{"run", shipped}, {"run", "crl"}, {"rotate", "--force", "-l", "app1.example.net"}, {"revoke", "--name", "dbuser1", "-y"},
		{"authority", "backup", "clients", "--recipient", "age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq"}} {
		all = append(all, badCase{strings.Join(args[:2], " "), args, 2, says})
	}
	return all
}

// succeeded is the same fleet with a successor of the clients' authority.
func (f *fleet) succeeded(t *testing.T) *fleet {
	t.Helper()
	return f.with(t, "\nauthorities:\n", "\nauthorities:\n  "+root("clients_g2", "ca1", "clients")+"\n")
}

// badAuthority: files of an authority of ours, on its own host, that somebody has exchanged.
func (f *fleet) badAuthority(t *testing.T) {
	f.sh(t, "ca1", badFiles+"; cp -a "+caDir("clients")+" /root/good")
	anothers, der := "keys/ca.key does not belong to "+caDir("clients")+"/certs/ca.crt", "certs/ca.crt: is DER (binary), PEM is expected"
	rotate, check := []string{"rotate", "--force", "-l", "db1.example.net"}, []string{"authority", "check", "clients"}
	for _, tt := range []struct {
		name, do string
		cases    []badCase
	}{
		{"another key", "cp /tmp/bad/one.key keys/ca.key", append(commands(anothers), badCase{"check", check, 2, "is another one: it can sign nothing"})},
		{"DER", "openssl x509 -in certs/ca.crt -outform DER -out /tmp/bad/ca.der; cp /tmp/bad/ca.der certs/ca.crt", append(commands(der), badCase{"check", check, 2, der})},
		// What makes lists puts these right.
		{"list of another CA", "cp /tmp/bad/two.crl crl/ca.crl", []badCase{{"rotate", rotate, 2, "which its records say is revoked: run the playbook crl, which makes a new one"},
			{"check", check, 2, "the authority has no list of its own: list of CN=two does not belong to authority root-ca1"}}},
		{"expired list", "openssl ca -config openssl.cnf -gencrl -crl_lastupdate 20200101000000Z -crl_nextupdate 20200201000000Z -out crl/ca.crl 2>/dev/null", []badCase{
			{"rotate", rotate, 2, "list of authority root-ca1 ended on 2020-02-01T00:00:00Z: every client would be refused: pgfleet run crl makes a new one"},
			{"check", check, 2, "it ended on 2020-02-01"}}},
	} {
		f.sh(t, "ca1", "cd "+caDir("clients")+"; "+tt.do)
		for i := range tt.cases {
			tt.cases[i].name = tt.name + ": " + tt.cases[i].name
		}
		f.refuses(t, tt.cases)
		if len(tt.cases) > 2 {
			f.succeeded(t).refuses(t, []badCase{{tt.name + ": rotate-ca", []string{"rotate-ca"}, 2, tt.cases[0].says}})
		}
		f.sh(t, "ca1", "rm -r "+caDir("clients")+"; cp -a /root/good "+caDir("clients"))
	}
}

// badPair: a server's key was exchanged, so that PostgreSQL would read nothing of what is brought to it.
func (f *fleet) badPair(t *testing.T) {
	key := f.sh(t, "db1", `k=$(sed -n "s/^ssl_key_file = '\(.*\)'/\1/p" /etc/pgfleet/15-main/pgfleet.conf); cat /tmp/bad/one.key >$k; echo $k`)
	says := "nothing new could come into force: certificate " + strings.TrimSuffix(key, "key") + "crt and private key " + key + " do not belong together; pgfleet run mtls puts right what is pgfleet's"
	const files = "ls /etc/pgfleet/15-main; cat /etc/pgfleet/15-main/pgfleet.conf"
	before := f.sh(t, "db1", files)
	f.want(t, 2, []string{says}, "run", "crl", "-e", "list=new")
	f.want(t, 2, []string{says, "still accepted at db1.example.net (failed)"}, "revoke", "--name", "dbuser1", "-y")
	f.succeeded(t).want(t, 2, []string{says}, "rotate-ca")
	if now := f.sh(t, "db1", files); now != before {
		t.Errorf("the server's files were\n%s\nand are\n%s", before, now)
	}
	f.want(t, 0, nil, "run", shipped)
	f.want(t, 0, nil, "certs", "--fail-within", "30d")
}

// badForeign: files that somebody else has put in force, or wants to, on a server that pgfleet comes to.
func (f *fleet) badForeign(t *testing.T) {
	f.reset(t, "db1")
	f.sh(t, "db1", badFiles)
	task := func(kind string, args ...string) []string {
		return append([]string{"task", kind, "-l", "db1.example.net", "profile=server"}, args...)
	}
	certificate := func(existing string) []string { return task("certificate", "issuer=servers", "existing="+existing) }
	trust := func(existing string) []string {
		return task("trust", `authorities:=["clients"]`, "existing="+existing)
	}
	reload := []string{"task", "postgres_reload", "-l", "db1.example.net"}
	for _, tt := range []struct {
		name, cert, key, more string
		cases                 []badCase
	}{
		{"another key", "one.crt", "two.key", "", []badCase{
			{"keep", certificate("keep"), 2, "is to keep its own certificate, and could not start or go on with it: certificate /tmp/bad/one.crt and private key /tmp/bad/two.key do not belong together"},
			{"reload", reload, 2, "a server with these files would not start: certificate /tmp/bad/one.crt and private key /tmp/bad/two.key do not belong together"}}},
		{"passphrase", "one.crt", "secret.key", "", []badCase{
			{"keep", certificate("keep"), 2, "private key /tmp/bad/secret.key has a passphrase, which a server cannot be asked for when it starts unattended: take it away"},
			{"stop", certificate("stop"), 2, "which is not pgfleet's: say existing: replace"},
			{"reload", reload, 2, "private key /tmp/bad/secret.key has a passphrase"}}},
		{"passphrase at a start alone", "one.crt", "secret.key", "ssl_passphrase_command = 'echo secret'", []badCase{
			{"keep", certificate("keep"), 2, "no reload brings a new certificate, authority or list into force: set ssl_passphrase_command_supports_reload: on"},
			{"reload", reload, 2, "set ssl_passphrase_command_supports_reload: on"}}},
		{"CA file in DER", "one.crt", "one.key", "ssl_ca_file = '/tmp/bad/one.der'", []badCase{
			{"keep", trust("keep"), 2, "is to keep its own authorities: CA file /tmp/bad/one.der: it holds no CERTIFICATE in PEM form"},
			{"overlap", trust("overlap"), 2, "is to go on believing its own authorities: CA file /tmp/bad/one.der: it holds no CERTIFICATE in PEM form"},
			{"reload", reload, 2, "CA file /tmp/bad/one.der: it holds no CERTIFICATE in PEM form"}}},
		{"expired list", "one.crt", "one.key", "ssl_ca_file = '/tmp/bad/one.crt'\nssl_crl_file = '/tmp/bad/ended.crl'", []badCase{
			{"keep", trust("keep"), 2, "/tmp/bad/ended.crl has no list of authority CN=one that is valid at"},
			{"overlap", trust("overlap"), 2, "whose list of revoked certificates ended on 2020-02-01"},
			{"reload", reload, 2, "/tmp/bad/ended.crl has no list of authority CN=one that is valid at"}}},
		{"list of another CA", "one.crt", "one.key", "ssl_ca_file = '/tmp/bad/one.crt'\nssl_crl_file = '/tmp/bad/two.crl'", []badCase{
			{"keep", trust("keep"), 2, "/tmp/bad/two.crl has no list of authority CN=one that is valid at"},
			{"overlap", trust("overlap"), 2, "of which no list of revoked certificates is in force"},
			{"reload", reload, 2, "/tmp/bad/two.crl has no list of authority CN=one that is valid at"}}},
		{"all good", "one.crt", "one.key", "ssl_ca_file = '/tmp/bad/one.crt'\nssl_crl_file = '/tmp/bad/one.crl'", []badCase{
			{"keep the certificate", certificate("keep"), 0, "1 ok"},
			{"keep the authorities", trust("keep"), 0, "1 ok"}}},
	} {
		f.theirs(t, "one.crt", "one.key", "")
		f.reload(t, "db1")
		f.theirs(t, tt.cert, tt.key, tt.more)
		if strings.Contains(tt.more, "ssl_ca_file") {
			f.reload(t, "db1")
		}
		for i := range tt.cases {
			tt.cases[i].name = tt.name + ": " + tt.cases[i].name
		}
		f.refuses(t, tt.cases)
		if t.Failed() {
			return
		}
	}
}

// theirs writes settings as somebody else would.
func (f *fleet) theirs(t *testing.T, cert, key, more string) {
	t.Helper()
	f.sh(t, "db1", `cd /etc/postgresql/15/main; sed -i '/^ssl/d' postgresql.conf; printf "ssl = on\nssl_cert_file = '/tmp/bad/%s'\nssl_key_file = '/tmp/bad/%s'\n%s\n" "$@" >>postgresql.conf`, cert, key, more)
}

// reload has a server read its files, good or bad, and waits until it has.
func (f *fleet) reload(t *testing.T, host string) {
	t.Helper()
	before := f.sql(t, host, "select pg_conf_load_time()")
	f.sql(t, host, "select pg_reload_conf()")
	f.sh(t, host, `n=0; until [ "$(runuser -u postgres -- `+psqlPath+` -XAtc "select pg_conf_load_time() <> '$1'")" = t ]; do n=$((n + 1)); [ $n -lt 300 ]; sleep 0.1; done`, before)
}

func decoded(t *testing.T, text string) []byte {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
