package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/lab"
)

// company is an authority that pgfleet cannot have sign: a root and an issuing one below it, kept in a folder with openssl, as a person would.
type company struct {
	dir string
	// home is where the inventory is, and with it what was asked.
	home string
}

const makeCompany = `
printf '[req]\nprompt=no\ndistinguished_name=dn\n[dn]\nCN=Company Root\n[own]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n' >root.cnf
openssl req -new -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ABOVE1.key -config root.cnf -extensions own -days 3650 -out ABOVE1.crt
printf 'basicConstraints=critical,CA:TRUE,pathlen:1\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n' >issuing.ext
openssl req -new -newkey rsa:2048 -nodes -keyout CA.key -subj "/O=Company/CN=Company Issuing" -out CA.csr
openssl x509 -req -in CA.csr -CA ABOVE1.crt -CAkey ABOVE1.key -set_serial 2 -days 1825 -extfile issuing.ext -out CA.crt
cat CA.crt ABOVE1.crt >company.pem`

func newCompany(t *testing.T, f *fleet) *company {
	t.Helper()
	c := &company{dir: t.TempDir(), home: filepath.Dir(f.inventory)}
	c.sh(t, c.dir, makeCompany)
	c.sh(t, c.home, `cp "$1/company.pem" .`, c.dir)
	return c
}

func (c *company) sh(t *testing.T, dir, text string, args ...string) string {
	t.Helper()
	cmd := exec.Command("sh", append([]string{"-ec", text, "sh"}, args...)...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", text, err, out)
	}
	return strings.TrimSpace(string(out))
}

// sign does what the README says of each authority that is asked for something, and gives the folder. Keys of authorities come from the folder of the company, and stay there:
// but for the passphrase that nobody is there to type.
func (c *company) sign(t *testing.T, f *fleet) string {
	t.Helper()
	to := t.TempDir()
	f.want(t, 0, []string{"its README says what to do"}, "authority", "requests", "--to", to)
	c.sh(t, to, `for d in */; do (cd "$d"; cp -n "$1"/*.key "$1"/*.crt .; grep '^    openssl' README | sed 's/ -aes256//' >commands; sh -e commands; cp *.key "$1"); done`, c.dir)
	if keys := c.sh(t, c.home, `grep -rl "PRIVATE KEY" authorities || :`); keys != "" {
		t.Errorf("private keys beside the inventory: %s", keys)
	}
	return to
}

// requests gives the names of the requests that wait.
func (c *company) requests(t *testing.T) []string {
	t.Helper()
	return strings.Fields(c.sh(t, c.home, `find authorities -name '*.csr' | sort`))
}

// files gives the paths below a folder that match patterns.
func files(t *testing.T, folder string, patterns ...string) []string {
	t.Helper()
	var out []string
	for _, p := range patterns {
		found, err := filepath.Glob(filepath.Join(folder, p))
		if err != nil || len(found) == 0 {
			t.Fatalf("no %s in %s: %v", p, folder, err)
		}
		out = append(out, found...)
	}
	return out
}

// answer hands files in.
func (f *fleet) answer(t *testing.T, code int, says []string, paths ...string) string {
	t.Helper()
	return f.want(t, code, says, append([]string{"authority", "answer", "-y"}, paths...)...)
}

// waits runs the shipped playbook, which has to end with 7, and gives what it changed.
func (f *fleet) waits(t *testing.T) (changed []string) {
	t.Helper()
	code, out := f.pgfleet(t, "run", shipped, "-o", "json")
	if code != 7 {
		t.Fatalf("exit %d, want 7:\n%s", code, out)
	}
	for _, task := range readDocument(t, out).Tasks {
		if task.Kind == "changed" {
			changed = append(changed, task.Host+" "+task.Task)
		} else if task.Kind != "ok" && (task.Kind != "skipped" || !strings.Contains(task.Reason, "waiting for authority")) {
			t.Errorf("%s %s is %s: %s %s", task.Host, task.Task, task.Kind, task.Summary, task.Reason)
		}
	}
	return changed
}

// TestOffline: the root of the clients' authority is in a safe, and a company's authority signs the servers' certificates.
func TestOffline(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 2, Client: 2})
	f = f.with(t, "  clients:      {host: ca1.example.net, subject: \"CN=root-ca1\", valid_for: 3650d}",
		"  safe:         {offline: true, subject: \"CN=Safe Root,O=Example\", valid_for: 3650d}\n  clients:      {host: ca3.example.net, issuer: safe, subject: \"CN=clients.example.net\", valid_for: 1825d}",
		"  servers_root: {host: ca2.example.net, subject: \"CN=root-ca2\", valid_for: 3650d}\n  servers:      {host: ca3.example.net, issuer: servers_root, subject: \"CN=intermediate.example.net\", valid_for: 1825d}",
		"  servers:      {external: company.pem}\n  idle1:        {host: ca1.example.net, subject: \"CN=idle1\"}\n  idle2:        {host: ca2.example.net, subject: \"CN=idle2\"}")
	c := newCompany(t, f)

	// Everything that can be done is, and all that has to be asked is asked at once.
	f.waits(t)
	asked := c.requests(t)
	if len(asked) != 3 {
		t.Fatalf("asked: %q", asked)
	}
	if changed := f.waits(t); len(changed) > 0 {
		t.Errorf("the second run changes %q", changed)
	}
	// Requests that were lost are made again, from the same keys.
	c.sh(t, c.home, "rm -r authorities")
	f.waits(t)
	if again := c.requests(t); !slices.Equal(again, asked) {
		t.Errorf("asked %q, and after a loss %q", asked, again)
	}

	// What is not as asked is refused, and nothing is taken in with it.
	signed := c.sign(t, f)
	safe, servers := filepath.Join(signed, "safe"), filepath.Join(signed, "servers")
	c.sh(t, servers, `openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout wrong.key -subj /CN=db1.example.net -out wrong.csr
		openssl x509 -req -in wrong.csr -CA CA.crt -CAkey CA.key -set_serial 99 -days 365 -extfile "$(ls db1*.ext)" -out wrong.pem`)
	f.answer(t, 5, []string{"its key is not that of the request for server db1.example.net", "nothing was taken in"}, append(files(t, servers, "db*.crt"), filepath.Join(servers, "wrong.pem"))...)
	if again := c.requests(t); !slices.Equal(again, asked) {
		t.Errorf("after a refusal there wait %q", again)
	}
	all := append(files(t, safe, "safe.crt", "list.crl", "ca3*.crt"), files(t, servers, "db*.crt")...)
	f.answer(t, 0, []string{"authority safe: its own certificate", "list of Safe Root, number 1, 0 revoked", "certificate for server db2.example.net on db2.example.net"}, all...)
	f.answer(t, 0, []string{"5 came before"}, all...)
	f.finishes(t)
	f.want(t, 0, nil, "verify")
	if out := f.want(t, 0, nil, "authority", "requests"); !strings.Contains(out, "nothing waits") {
		t.Errorf("there waits:\n%s", out)
	}
	f.want(t, 0, nil, "certs", "--fail-within", "30d")

	// A renewal waits, and what is in force goes on to serve.
	serial, key := f.serverPair(t, "db1")
	f.want(t, 7, []string{"waiting for 1 answer of authority servers"}, "rotate", "--force", "--new-key", "-l", "db1.example.net")
	if changed := f.waits(t); len(changed) > 0 {
		t.Errorf("while it waits, a run changes %q", changed)
	}
	f.want(t, 0, []string{"waiting", "CN=Safe Root,O=Example"}, "certs")
	if now, _ := f.serverPair(t, "db1"); now != serial {
		t.Error("another certificate is served before the answer has come")
	}
	f.answer(t, 0, nil, files(t, filepath.Join(c.sign(t, f), "servers"), "db1*.crt")...)
	f.want(t, 0, nil, "rotate")
	if now, other := f.serverPair(t, "db1"); now == serial || other == key {
		t.Errorf("serial number %s, then %s; the key is the same: %t", serial, now, other == key)
	}
	f.finishes(t)

	// Somebody without what came back: what is in force goes on to serve, and nothing is changed.
	c.sh(t, c.home, "mv authorities kept")
	if changed := f.waits(t); len(changed) > 0 {
		t.Errorf("without the answers a run changes %q", changed)
	}
	c.sh(t, c.home, "rm -r authorities; mv kept authorities")

	// Revoked is what the company's list names.
	old, _ := f.serverPair(t, "db2")
	old = strings.TrimPrefix(old, "serial=")
	f.want(t, 7, []string{"not refused yet: servers:" + old, "waiting for"}, "revoke", "-y", "--host", "db2.example.net", "--reason", "superseded")
	f.want(t, 0, []string{"1 shall be revoked", old}, "authority", "requests")
	f.waits(t) // the holder asks for a new one
	signed = filepath.Join(c.sign(t, f), "servers")
	f.answer(t, 0, []string{"list of Company Issuing, number 1, 1 revoked"}, files(t, signed, "db2*.crt", "*.crl")...)
	f.want(t, 0, nil, "run", "crl")
	if out, err := f.psql(t, "app1", "service=dbuser1@db2 dbname=postgres", "select 1"); err == nil || !strings.Contains(out, "certificate verify failed") {
		t.Errorf("app1 to db2: %s %v", out, err)
	}
	f.finishes(t)
	if now, _ := f.serverPair(t, "db2"); strings.Contains(now, old) {
		t.Error("the revoked certificate is still served")
	}

	// A new root in the safe: until it has signed, everything goes on with the one that is there.
	c.sh(t, c.home, `printf '  safe2: {offline: true, subject: "CN=Safe Root G2", valid_for: 3650d, replaces: safe}
  clients2: {host: ca3.example.net, issuer: safe2, subject: "CN=clients G2", valid_for: 1825d, replaces: clients}\n' >>inventory.yaml`)
	f.want(t, 7, []string{"waiting for 3 answers of authority safe2"}, "rotate-ca")
	if changed := f.waits(t); len(changed) > 0 {
		t.Errorf("while the new root is waited for, a run changes %q", changed)
	}
	f.answer(t, 0, nil, files(t, filepath.Join(c.sign(t, f), "safe2"), "safe2.crt", "ca3*.crt", "*.crl")...)
	f.want(t, 0, []string{"clients is still believed"}, "rotate-ca")
	f.finishes(t)

	// A root of somebody else's, for servers that nobody here manages: whoever trusts it verifies their names.
	cloud := writeInventory(t, strings.Split(labInventory(t, f.inventory), "\nhosts:")[0]+"\nhosts:\n  app1.example.net: {address: "+f.addr(t, "app1")+
		", roles: [client], identities: {postgres: [cloud]}}\nauthorities:\n  provider: {external: "+filepath.Join(c.dir, "ABOVE1.crt")+"}\n")
	f = &fleet{lab: f.lab, inventory: cloud}
	f.want(t, 0, nil, "task", "trust", "-l", "app1.example.net", "authorities=provider")
	trust := "sslmode=verify-full sslrootcert=" + home + "/.postgresql/pgfleet/cloud/root.crt dbname=postgres user=cloud "
	if out, err := f.psql(t, "app1", trust+"host=db1.example.net", "select 1"); err == nil || strings.Contains(out, "verify failed") || !strings.Contains(out, "db1.example.net") || strings.Contains(out, "does not match") {
		t.Errorf("verified by the provider's root: %s %v", out, err)
	}
	if out, _ := f.psql(t, "app1", trust+"host=other.example.net hostaddr="+f.addr(t, "db1"), "select 1"); !strings.Contains(out, "does not match host name") {
		t.Errorf("by another name: %s", out)
	}
}

// TestCompanyClients: a company's authority signs the clients' certificates. Without its lists servers cannot ask for certificates, or they would refuse everybody.
func TestCompanyClients(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 1, Client: 2})
	f = f.with(t, "  clients:      {host: ca1.example.net, subject: \"CN=root-ca1\", valid_for: 3650d}", "  clients:      {external: company.pem}\n  idle:         {host: ca1.example.net, subject: \"CN=idle\"}")
	c := newCompany(t, f)
	f.waits(t)
	f.want(t, 0, []string{"client dbuser1 on app2.example.net", "list of revoked certificates of CN=Company Root, there is none yet"}, "authority", "requests")
	signed := filepath.Join(c.sign(t, f), "clients")
	f.answer(t, 0, nil, files(t, signed, "app*.crt")...)
	f.waits(t) // clients log in as before, and the server waits for the lists
	if hba := f.sh(t, "db1", "cat /etc/postgresql/15/main/pg_hba.conf"); strings.Contains(hba, "pgfleet") {
		t.Errorf("rules without lists:\n%s", hba)
	}
	f.answer(t, 0, nil, files(t, signed, "*.crl")...)
	f.finishes(t)
	f.want(t, 0, nil, "verify")

	// Sessions are ended at once; new ones are refused when the list has come.
	ended := f.session(t, "app1", "db1")
	f.want(t, 7, []string{"not refused yet", "--offboard takes"}, "revoke", "-y", "--host", "app1.example.net", "--reason", "keyCompromise", "--terminate")
	if err := <-ended; err == nil {
		t.Error("the session was not ended")
	}
	if _, err := f.psql(t, "app1", "service=dbuser1@db1 dbname=postgres", "select 1"); err != nil {
		t.Errorf("before the list: %v", err)
	}
	_, key := f.clientPair(t, "app1")
	f.waits(t)
	signed = filepath.Join(c.sign(t, f), "clients")
	// The owner may keep a file of its own up to date instead of handing lists in.
	c.sh(t, c.home, `cat "$1"/list.crl >company.crl; sed -i 's/external: company.pem/external: company.pem, crl: company.crl/' inventory.yaml`, signed)
	f.want(t, 0, nil, "run", "crl")
	f.expectRefused(t, "app1", "db1")
	f.answer(t, 0, nil, files(t, signed, "app1*.crt")...)
	f.finishes(t)
	if _, now := f.clientPair(t, "app1"); now == key {
		t.Error("the compromised key is still in use")
	}
	if err := os.WriteFile(filepath.Join(c.home, "company.crl"), []byte("0\x03DER"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.want(t, 5, []string{"company.crl: is binary"}, "run", "crl")
}

// TestCompanyAbove: a company's authority stands above ours, the clients' and the servers'.
func TestCompanyAbove(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 1, Client: 1})
	f = f.with(t, "ca1.example.net:\n    address: "+f.addr(t, "ca1")+"\n    roles: [root_ca]", "ca1.example.net:\n    address: "+f.addr(t, "ca1")+"\n    roles: [intermediate_ca]",
		"  clients:      {host: ca1.example.net, subject: \"CN=root-ca1\", valid_for: 3650d}", "  company:      {external: company.pem}\n  clients:      {host: ca1.example.net, issuer: company, subject: \"CN=clients,O=Company\", valid_for: 700d}",
		"  servers_root: {host: ca2.example.net, subject: \"CN=root-ca2\", valid_for: 3650d}", "  idle:         {host: ca2.example.net, subject: \"CN=idle\"}",
		"issuer: servers_root, subject: \"CN=intermediate.example.net\", valid_for: 1825d", "issuer: company, subject: \"CN=servers,O=Company\", valid_for: 700d")
	c := newCompany(t, f)
	f.waits(t)
	f.answer(t, 0, nil, files(t, filepath.Join(c.sign(t, f), "company"), "ca[13]*.crt")...)
	f.waits(t) // the servers' side is done; nobody below the company is believed without its lists
	f.answer(t, 0, nil, files(t, filepath.Join(c.sign(t, f), "company"), "*.crl")...)
	f.finishes(t)
	f.want(t, 0, nil, "verify")
	f.want(t, 0, nil, "revoke", "-y", "--host", "app1.example.net", "--reason", "superseded") // ours, without a detour
	f.expectRefused(t, "app1", "db1")
	f.finishes(t)
}

// TestReplaceCompany: a company's authority takes the place of ours for the clients, then one company's that of another's for the servers. Everything is asked for at once,
// answers come one by one, and whoever waits has not failed.
func TestReplaceCompany(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 1, Client: 2})
	f = f.with(t, "  servers_root: {host: ca2.example.net, subject: \"CN=root-ca2\", valid_for: 3650d}\n  servers:      {host: ca3.example.net, issuer: servers_root, subject: \"CN=intermediate.example.net\", valid_for: 1825d}",
		"  servers:      {external: company.pem}\n  idle1:        {host: ca2.example.net, subject: \"CN=idle1\"}\n  idle2:        {host: ca3.example.net, issuer: idle1, subject: \"CN=idle2\"}")
	c := newCompany(t, f)
	f.waits(t)
	f.answer(t, 0, nil, files(t, filepath.Join(c.sign(t, f), "servers"), "db*.crt")...)
	f.finishes(t)
	next := &company{dir: t.TempDir(), home: c.home}
	next.sh(t, next.dir, strings.ReplaceAll(makeCompany, "Company", "Successor"))
	next.sh(t, next.home, `cp "$1/company.pem" successor.pem; printf '  clients_g2: {external: successor.pem, replaces: clients}\n' >>inventory.yaml`, next.dir)

	f.want(t, 7, []string{"waiting for 4 answers of authority clients_g2"}, "rotate-ca")
	signed := filepath.Join(next.sign(t, f), "clients_g2")
	f.answer(t, 0, nil, files(t, signed, "app1*.crt")...)
	f.want(t, 7, []string{"app1.example.net  certificate", "waiting for authority clients_g2: list of revoked certificates of Successor Root"}, "rotate-ca")
	f.expectIssuer(t, "root-ca1", "sslcert", "app1", "app2")
	f.answer(t, 0, nil, files(t, signed, "*.crl")...)
	f.want(t, 7, []string{"db1.example.net   trust              waiting for authority clients_g2: certificate for client dbuser1 on app2.example.net"}, "rotate-ca", "--until", "drop", "-y")
	f.expectIssuer(t, "Successor Issuing", "sslcert", "app1")
	f.expectIssuer(t, "root-ca1", "sslcert", "app2")
	f.settled(t)
	f.answer(t, 0, nil, files(t, signed, "app2*.crt")...)
	f.want(t, 0, []string{"clients is believed no more"}, "rotate-ca", "--until", "drop", "-y")
	next.sh(t, next.home, `sed -i -e 's/^  clients:.*/  idle3: {host: ca1.example.net, subject: "CN=idle3"}/' -e '$a\  servers_g2: {external: successor.pem, replaces: servers}' inventory.yaml`)

	// Keys that wait for their certificates are nobody else's to remove.
	f.want(t, 7, []string{"waiting for 1 answer of authority servers_g2"}, "rotate-ca", "--new-key")
	f.settled(t)
	f.answer(t, 0, nil, files(t, filepath.Join(next.sign(t, f), "servers_g2"), "db*.crt")...)
	f.settled(t)
	f.want(t, 0, []string{"servers is believed no more"}, "rotate-ca", "--until", "drop", "-y")
	f.expectIssuer(t, "Successor Issuing", "ssl_cert_file", "db1")
	f.expectBelieved(t, []string{"Successor Root"}, "sslrootcert", "app1") // and the one below it, whose name begins otherwise
	f.want(t, 0, nil, "verify")
}
