package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/lab"
)

// authorities gives the same hosts with other authorities.
func (f *fleet) authorities(t *testing.T, lines ...string) *fleet {
	t.Helper()
	text, err := os.ReadFile(f.inventory)
	if err != nil {
		t.Fatal(err)
	}
	hosts, _, ok := strings.Cut(string(text), "\nauthorities:\n")
	if !ok {
		t.Fatalf("no authorities in\n%s", text)
	}
	path := filepath.Join(t.TempDir(), "inventory.yaml")
	if err := os.WriteFile(path, []byte(hosts+"\nauthorities:\n  "+strings.Join(lines, "\n  ")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &fleet{lab: f.lab, inventory: path}
}

// without gives the same fleet without a host.
func (f *fleet) without(t *testing.T, host string) *fleet {
	t.Helper()
	text, err := os.ReadFile(f.inventory)
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile(`(?m)^  ` + host + `\.example\.net:\n(    .*\n)+`).FindString(string(text))
	return f.with(t, block, "")
}

// root and intermediate are an authority's line in the inventory; old is what it replaces.
func root(name, host, old string) string {
	return fmt.Sprintf("%s: {host: %s.example.net, subject: \"CN=%s\"%s}", name, host, name, replaces(old))
}

func intermediate(name, issuer, old string) string {
	return fmt.Sprintf("%s: {host: ca3.example.net, issuer: %s, subject: \"CN=%s\"%s}", name, issuer, name, replaces(old))
}

func replaces(old string) string {
	if old == "" {
		return ""
	}
	return ", replaces: " + old
}

// issuers are the common names in a file of certificates: of the issuer of its first, and of all its subjects.
func (f *fleet) issuers(t *testing.T, host, path string) (issuer string, subjects []string) {
	t.Helper()
	issuer = f.sh(t, host, `openssl x509 -noout -issuer -nameopt multiline -in "$1" | sed -n 's/.*commonName *= //p'`, path)
	all := f.sh(t, host, `openssl crl2pkcs7 -nocrl -certfile "$1" | openssl pkcs7 -print_certs -noout | sed -n 's/^subject=CN = //p'`, path)
	return issuer, strings.Split(all, "\n")
}

// named gives the file that a server's setting, or a client's service, names.
func (f *fleet) named(t *testing.T, host, name string) string {
	t.Helper()
	if strings.HasPrefix(name, "ssl_") {
		return f.sh(t, host, `sed -n "s/^$1 = '\(.*\)'/\1/p" /etc/pgfleet/15-main/pgfleet.conf`, name)
	}
	return f.sh(t, host, `sed -n "s/^$1=//p" "$2/.pg_service.conf" | head -n 1`, name, home)
}

// expectIssuer wants the certificate in force of each host to be of an authority.
func (f *fleet) expectIssuer(t *testing.T, want, setting string, hosts ...string) {
	t.Helper()
	for _, host := range hosts {
		if got, _ := f.issuers(t, host, f.named(t, host, setting)); got != want {
			t.Errorf("%s has a certificate of %s, want %s", host, got, want)
		}
	}
}

// expectBelieved wants each host to believe these authorities and no others.
func (f *fleet) expectBelieved(t *testing.T, want []string, setting string, hosts ...string) {
	t.Helper()
	for _, host := range hosts {
		if _, got := f.issuers(t, host, f.named(t, host, setting)); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s believes %q, want %q", host, got, want)
		}
	}
}

// settled wants the other commands to find nothing to do, wherever the replacement is.
func (f *fleet) settled(t *testing.T) {
	t.Helper()
	f.want(t, 0, nil, "run", shipped, "--check", "--detailed-exitcode")
	f.want(t, 0, nil, "run", "crl", "--check", "--detailed-exitcode")
	if out := f.want(t, 0, nil, "rotate"); out != "" {
		t.Errorf("nothing is due, and it says:\n%s", out)
	}
}

// replacement is one authority of a fleet replaced: what the inventory says meanwhile and afterwards.
type replacement struct {
	name          string
	during, after []string
	// servers, clients sign in the end; roots of them are believed.
	servers, clients           string
	serversChain, clientsChain []string
}

var beginning = []string{root("clients_root", "ca1", ""), intermediate("clients", "clients_root", ""), root("servers_root", "ca2", ""), intermediate("servers", "servers_root", "")}

// replacements follow one upon the other.
var replacements = []replacement{
	{"client intermediate",
		append([]string{intermediate("clients_g2", "clients_root", "clients")}, beginning...),
		[]string{root("clients_root", "ca1", ""), intermediate("clients_g2", "clients_root", "clients"), root("servers_root", "ca2", ""), intermediate("servers", "servers_root", "")},
		"servers", "clients_g2", []string{"servers_root", "servers"}, []string{"clients_root", "clients_g2"}},
	{"client root",
		[]string{root("clients_root", "ca1", ""), intermediate("clients_g2", "clients_root", "clients"), root("clients_root_g2", "ca1", "clients_root"),
			intermediate("clients_g3", "clients_root_g2", "clients_g2"), root("servers_root", "ca2", ""), intermediate("servers", "servers_root", "")},
		[]string{root("clients_root_g2", "ca1", "clients_root"), intermediate("clients_g3", "clients_root_g2", "clients"), root("servers_root", "ca2", ""), intermediate("servers", "servers_root", "")},
		"servers", "clients_g3", []string{"servers_root", "servers"}, []string{"clients_root_g2", "clients_g3"}},
	{"server intermediate",
		[]string{root("clients_root_g2", "ca1", "clients_root"), intermediate("clients_g3", "clients_root", "clients"), root("servers_root", "ca2", ""), intermediate("servers", "servers_root", ""),
			intermediate("servers_g2", "servers_root", "servers")},
		[]string{root("clients_root_g2", "ca1", "clients_root"), intermediate("clients_g3", "clients_root", "clients"), root("servers_root", "ca2", ""), intermediate("servers_g2", "servers_root", "servers")},
		"servers_g2", "clients_g3", []string{"servers_root", "servers_g2"}, []string{"clients_root_g2", "clients_g3"}},
	{"server root",
		[]string{root("clients_root_g2", "ca1", "clients_root"), intermediate("clients_g3", "clients_root", "clients"), root("servers_root", "ca2", ""), intermediate("servers_g2", "servers_root", "servers"),
			root("servers_root_g2", "ca2", "servers_root"), intermediate("servers_g3", "servers_root_g2", "servers_g2")},
		[]string{root("clients_root_g2", "ca1", "clients_root"), intermediate("clients_g3", "clients_root", "clients"), root("servers_root_g2", "ca2", "servers_root"), intermediate("servers_g3", "servers_root", "servers")},
		"servers_g3", "clients_g3", []string{"servers_root_g2", "servers_g3"}, []string{"clients_root_g2", "clients_g3"}},
}

// TestReplaceAuthority replaces every kind of authority of a fleet whose applications never stop connecting, and no connection fails.
func TestReplaceAuthority(t *testing.T) {
	t.Parallel()
	// db3 and app2 join in the middle of a replacement.
	all := newFleet(t, lab.Options{DB: 3, Client: 2})
	f := all.without(t, "db3").without(t, "app2")
	servers, clients := []string{"db1", "db2"}, []string{"app1"}
	f.authorities(t, beginning...).want(t, 0, nil, "run", shipped, "--verify", "none")
	total := 0
	for _, r := range replacements {
		l := f.begin(t, clients, servers)
		switch r.name {
		case "client root":
			f = f.clientRoot(t, r, all.without(t, "app2"))
		case "server root":
			f = f.serverRoot(t, r, all)
		case "client intermediate": // in one go, with hosts in the inventory that nobody has set up yet
			all.authorities(t, r.during...).want(t, 0, []string{"take it out of", "its key and records stay on"}, "rotate-ca", "--until", "drop", "-y")
			f.authorities(t, r.after...).want(t, 0, nil, "run", shipped, "--verify", "none") // the service of db3 goes again
		default: // in one go
			f.authorities(t, r.during...).want(t, 0, []string{"take it out of", "its key and records stay on"}, "rotate-ca", "--until", "drop", "-y")
		}
		f.authorities(t, r.after...).want(t, 0, nil, "run", shipped, "--check", "--detailed-exitcode")
		tries, failed := l.end(t)
		total += len(tries)
		t.Logf("%s: %d connections, %d failed", r.name, len(tries), len(failed))
		if len(failed) > 0 || len(tries) < len(clients)*len(servers) {
			t.Errorf("%s: %d connections, of which failed:\n%s", r.name, len(tries), strings.Join(failed, "\n"))
		}
		f.expectIssuer(t, r.servers, "ssl_cert_file", servers...)
		f.expectIssuer(t, r.clients, "sslcert", clients...)
		f.expectBelieved(t, r.clientsChain, "ssl_ca_file", servers...)
		f.expectBelieved(t, r.serversChain, "sslrootcert", clients...)
	}
	t.Logf("%d connections in all", total)
	end := f.authorities(t, replacements[len(replacements)-1].after...)
	end.want(t, 0, nil, "verify")
	end.want(t, 5, []string{"no authority of", "has a successor"}, "rotate-ca")
}

// clientRoot replaces the root above the clients' authority step by step. A server joins when everybody believes both, and believes both; a session keeps the old one from being dropped.
func (f *fleet) clientRoot(t *testing.T, r replacement, joined *fleet) *fleet {
	t.Helper()
	f.authorities(t, r.during...).want(t, 0, []string{"next: pgfleet rotate-ca"}, "rotate-ca", "--until", "trust")
	during := joined.authorities(t, r.during...)
	during.want(t, 0, nil, "run", shipped)
	f.expectBelieved(t, []string{"clients_root", "clients_g2", "clients_root_g2", "clients_g3"}, "ssl_ca_file", "db1", "db2", "db3")
	f.expectIssuer(t, "clients_g2", "sslcert", "app1")
	during.want(t, 0, []string{"is still believed"}, "rotate-ca")
	f.expectIssuer(t, "clients_g3", "sslcert", "app1")
	during.settled(t)
	during.openSession(t)
	return joined
}

// serverRoot does the same above the servers' authority. Nobody has a certificate of the successor, nor drops the old one, before everybody else is known to be ready. A client
// joins in the middle.
func (f *fleet) serverRoot(t *testing.T, r replacement, joined *fleet) *fleet {
	t.Helper()
	during := f.authorities(t, r.during...)
	during.want(t, 0, nil, "rotate-ca", "--until", "trust")
	during.settled(t)
	during.want(t, 5, []string{"there is no terminal to ask on"}, "rotate-ca", "--until", "drop")
	during.want(t, 0, []string{"wanted is CN=servers_g3", "known after apply"}, "rotate-ca", "--until", "drop", "--check")
	during.want(t, 2, []string{"no certificate of servers_g3 for db1.example.net", "app1.example.net (it was not seen by this run"}, "rotate-ca", "-l", "db1.example.net")
	during.want(t, 2, []string{"is still needed", "db1.example.net (cluster 15/main has a certificate of it)"}, "run", "rotate-ca", "-e", "until=drop", "-l", "app1.example.net")
	during = joined.authorities(t, r.during...)
	during.want(t, 0, nil, "run", shipped)
	f.expectBelieved(t, []string{"servers_root", "servers_g2", "servers_root_g2", "servers_g3"}, "sslrootcert", "app1", "app2")
	f.expectIssuer(t, "servers_g2", "ssl_cert_file", "db1", "db2", "db3")
	during.want(t, 0, []string{"take it out of", "its key and records stay on"}, "rotate-ca", "--until", "drop", "-y")
	during.settled(t)
	// A certificate that no client would accept any more does not come back, whether or not its authority was taken out of the inventory meanwhile.
	for host, f := range map[string]*fleet{"db1": during, "db2": joined.authorities(t, r.after...)} {
		f.want(t, 0, []string{"kept as they are now: ssl_cert_file and ssl_key_file (clients do not believe the authority"}, "rollback", host+".example.net", "-y")
	}
	return joined
}

// openSession holds a session that was opened with a certificate of the old authority: it is named, and ended on demand.
func (f *fleet) openSession(t *testing.T) {
	t.Helper()
	old := f.sh(t, "app1", `grep -l "" "$1"/.postgresql/pgfleet/dbuser1/v/*/client.crt | head -n 1`, home)
	dir := filepath.Dir(old)
	ended := make(chan string, 1)
	go func() {
		out, err := f.try(context.WithoutCancel(t.Context()), "app1", "postgres", "env", "-i", "HOME="+home, "LC_ALL=C", psqlPath, "-XAtw", "-d",
			"service=dbuser1@db1 dbname=postgres sslcert="+old+" sslkey="+dir+"/client.key", "-c", "select pg_sleep(120)")
		ended <- fmt.Sprint(out, err)
	}()
	for i := 0; f.sql(t, "db1", "select count(*) from pg_stat_activity where query like '%pg_sleep(120)%' and usename = 'dbuser1'") != "1"; i++ {
		if i == 100 {
			t.Fatalf("the session does not begin: %s", <-ended)
		}
		time.Sleep(100 * time.Millisecond)
	}
	f.want(t, 2, []string{"is still needed", "db1.example.net (open sessions that began with a certificate of it: dbuser1 from"}, "rotate-ca", "--until", "drop", "-y")
	// What is revoked in the middle is refused, and keeps nobody from going on.
	f.want(t, 0, nil, "revoke", "--file", f.fetched(t, "app1", old), "--reason", "superseded", "-y")
	f.expectRevoked(t, "app1", old, "db1")
	f.want(t, 0, []string{"end the sessions of dbuser1 from"}, "rotate-ca", "--until", "drop", "-y", "--terminate")
	if how := <-ended; !strings.Contains(how, "terminating connection") {
		t.Errorf("the session ended otherwise: %s", how)
	}
}

// fetched gives a copy on this machine of a host's certificate.
func (f *fleet) fetched(t *testing.T, host, path string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "certificate.pem")
	if err := os.WriteFile(file, []byte(f.sh(t, host, `openssl x509 -in "$1"`, path)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// expectRevoked sees that a server refuses a certificate, with the key beside it, because it is revoked.
func (f *fleet) expectRevoked(t *testing.T, client, cert, server string) {
	t.Helper()
	out, err := f.psql(t, client, "service=dbuser1@"+server+" dbname=postgres sslcert="+cert+" sslkey="+filepath.Dir(cert)+"/client.key", "select 1")
	if err == nil || !strings.Contains(out+err.Error(), "certificate revoked") {
		t.Errorf("%s to %s with a revoked certificate: %s %v", client, server, out, err)
	}
}
