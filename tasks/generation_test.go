package tasks

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

// declare puts an authority into the inventory, not made yet.
func (w *world) declare(a pki.Authority) {
	all := maps.Clone(w.fleet.Authorities)
	all[a.Name] = a
	w.fleet.Authorities = all
}

// make has a declared authority made.
func (w *world) make(name string) {
	w.t.Helper()
	w.ca.add(w.t, name, w.fleet.Authorities[name])
}

// takeOut takes authorities out of the inventory.
func (w *world) takeOut(names ...string) {
	all := maps.Clone(w.fleet.Authorities)
	for _, name := range names {
		delete(all, name)
		delete(w.ca.certs, name)
		delete(w.ca.lists, name)
	}
	w.fleet.Authorities = all
}

// again begins another run: what this one has shown counts no more.
func (w *world) again() { w.fleet.Proofs = &Proofs{} }

// having gives a task of a kind with further values.
func having(t *testing.T, kind string, values map[string]any, more ...any) Task {
	t.Helper()
	values = maps.Clone(values)
	for i := 0; i < len(more); i += 2 {
		values[more[i].(string)] = more[i+1]
	}
	return task(t, kind, values)
}

// believed are the common names of the authorities in the file that the server's settings, or the client's services, name.
func (w *world) believed(h *Host) string {
	w.t.Helper()
	file := `$(sed -n "s/^ssl_ca_file = '\(.*\)'/\1/p" /etc/pgfleet/15-main/pgfleet.conf)`
	if h == w.client {
		file = `$(sed -n 's/^sslrootcert=//p' /home/app/.pg_service.conf | head -n 1)`
	}
	return strings.ReplaceAll(w.sb.Shell(`openssl crl2pkcs7 -nocrl -certfile `+file+` | openssl pkcs7 -print_certs -noout | sed -n 's/^subject=CN = //p'`), "\n", " ")
}

// issuer is the common name of the issuer of the certificate in force.
func (w *world) issuer(h *Host) string {
	w.t.Helper()
	file := `$(sed -n "s/^ssl_cert_file = '\(.*\)'/\1/p" /etc/pgfleet/15-main/pgfleet.conf)`
	if h == w.client {
		file = `$(sed -n 's/^sslcert=//p' /home/app/.pg_service.conf | head -n 1)`
	}
	return w.sb.Shell(`openssl x509 -noout -issuer -in ` + file + ` | sed 's/issuer=CN = //'`)
}

var clientsG2 = pki.Authority{Name: "clients_g2", Subject: "CN=clients G2", Replaces: "clients"}

// TestReplaceClients goes through the replacement of the clients' authority task by task, on a server and a client that everything else is set up for.
func TestReplaceClients(t *testing.T) {
	w := loginWorld(t)
	trust, cert := having(t, "trust", serverTrusts), having(t, "certificate", clientCertificate)
	add, drop := having(t, "trust", serverTrusts, "only", "add"), having(t, "trust", serverTrusts, "only", "drop")
	replace := func() Task { return having(t, "certificate", clientCertificate, "only", "replace") }
	step := func(h *Host, task Task, changes bool) {
		t.Helper()
		w.again()
		w.must(h, task, changes)
	}
	quiet := func(believed, issuer string) {
		t.Helper()
		step(w.server, trust, false)
		step(w.client, cert, false)
		step(w.server, only(t, "trust", serverTrusts), false)
		step(w.client, only(t, "certificate", clientCertificate), false)
		step(w.server, having(t, "trust", serverTrusts, "only", "repair"), false)
		if got := w.believed(w.server); got != believed {
			t.Errorf("believed are %q, want %q", got, believed)
		}
		if got := w.issuer(w.client); got != issuer {
			t.Errorf("the client's certificate is of %s, want %s", got, issuer)
		}
		w.reload()
		if got := w.psql("service=dbuser1@db1"); got != "dbuser1|t" {
			t.Errorf("the client's login: %s", got)
		}
	}

	// Without a successor there is nothing to replace; one that is declared and not made is nobody's business yet.
	step(w.server, add, false)
	step(w.server, drop, false)
	step(w.client, replace(), false)
	w.declare(clientsG2)
	quiet("root-ca1 clients.example.net", "clients.example.net")
	for h, task := range map[*Host]Task{w.client: replace(), w.server: add} {
		if _, err := w.run(h, task); !errors.Is(err, ErrPending) || !strings.Contains(err.Error(), "authority clients_g2") {
			t.Errorf("on %s, of an authority that is not made: %v", h.Name, err)
		}
	}

	// Nor is one that somebody else has to sign, but to whom it is asked for.
	wait := fmt.Errorf("clients_g2: %w", &WaitingError{Authority: "safe", What: []string{"its certificate"}})
	for only, waits := range map[string]bool{"": false, "repair": false, "renew": false, "add": true, "drop": true} {
		task := &trustTask{Authorities: []string{"clients"}, Profile: "server", Only: only}
		if err := task.lacking(w.server, nil, w.fleet.Generations("clients"), map[string][]*x509.Certificate{"clients": w.chain("clients")}, wait); (err != nil) != waits {
			t.Errorf("only: %q, while its successor waits: %v", only, err)
		}
	}

	w.make("clients_g2")
	w.refused(w.client, replace(), "no certificate of clients_g2 for app1.example.net", "db1.example.net (cluster 15/main does not believe clients G2)")
	w.refused(w.server, drop, "does not believe the successor of root-ca1, clients.example.net yet")
	// With --check, what is about to change decides.
	w.fleet.CheckOnly = true
	if _, err := w.check(w.client, replace()); !errors.Is(err, ErrRefused) {
		t.Errorf("a check where nothing changes before: %v", err)
	}
	w.server.View.Plan(KeyPostgres)
	for h, task := range map[*Host]Task{w.client: replace(), w.server: drop} {
		if _, err := w.check(h, task); !errors.Is(err, ErrPending) {
			t.Errorf("a check on %s after a change: %v", h.Name, err)
		}
	}
	w.fleet.CheckOnly = false
	step(w.server, add, true)
	step(w.server, add, false)
	// A new list is read by a reload.
	w.again()
	if doubt := w.client.unbelieving(pki.ProfileClient, "clients_g2", w.chain("clients_g2"), false); len(doubt) != 1 || !strings.Contains(doubt[0], "not those of the file") {
		t.Errorf("before the reload: %q", doubt)
	}
	w.reload()
	if err := w.look(w.server, add); err != nil {
		t.Fatal(err)
	}
	quiet("root-ca1 clients.example.net clients G2", "clients.example.net")

	w.again()
	w.refused(w.server, drop, "root-ca1, clients.example.net is still needed", "app1.example.net (dbuser1 of app has a certificate of it)")
	step(w.server, having(t, "trust", serverTrusts, "only", "drop", "until", "reissue"), false)
	step(w.client, having(t, "certificate", clientCertificate, "only", "replace", "until", "trust"), false)
	if err := w.look(w.server, add); err != nil {
		t.Fatal(err)
	}
	step(w.client, replace(), true)
	step(w.client, replace(), false)
	quiet("root-ca1 clients.example.net clients G2", "clients G2")

	// A host of which nothing is known keeps everybody from dropping.
	other := &Host{Name: "app9.example.net", Roles: []string{"client"}, Identities: w.client.Identities, View: &View{}, Fleet: w.fleet}
	w.fleet.Hosts[other.Name] = other
	w.again()
	w.refused(w.server, drop, "is still needed", "app9.example.net (it was not seen by this run")
	delete(w.fleet.Hosts, other.Name)
	// Nor does one that still shows a certificate of it: by a copy under libpq's default names, or as a standby whose primary_conninfo names a version of before, as it was written last.
	needs := func(what, want string) {
		t.Helper()
		if found, err := w.client.identitiesUnder(w.chain("clients")); err != nil || strings.Join(found, " ") != want {
			t.Errorf("%s: the old authority is needed by %q, %v", what, found, err)
		}
	}
	before := w.sb.Shell("ls -d /home/app/.postgresql/pgfleet/dbuser1/v/* | head -n 1") + "/client.crt"
	w.client.Identities[0].Default = true
	w.sb.Shell("install -o app $1 /home/app/.postgresql/postgresql.crt", before)
	if err := w.look(w.client, trust); err != nil {
		t.Fatal(err)
	}
	needs("a copy", "dbuser1 of app")
	w.sb.Shell("rm /home/app/.postgresql/postgresql.crt")
	w.client.Identities[0].Default = false
	if err := w.look(w.client, trust); err != nil {
		t.Fatal(err)
	}
	w.client.Roles = []string{"client", "db_server"}
	for _, s := range []struct{ file, want string }{{before, "dbuser1 of app"}, {"/elsewhere/client.crt", ""}} {
		result, err := seenServer(w.fleet, "standby", "10.0.0.9", "7", true, "sslcert="+s.file).View.Get(KeyPostgres)
		if err != nil {
			t.Fatal(err)
		}
		result.Stdout = bytes.Replace(result.Stdout, []byte(`"conninfo":"sslcert=`), []byte(`"conninfo":"sslroot=`), 1) // which it has not read yet
		w.client.View.Put(result)
		needs("a standby with "+s.file, s.want)
	}
	delete(w.fleet.Hosts, "standby")
	w.client.Roles = []string{"client"}
	needs("neither", "")
	step(w.server, drop, true)
	step(w.server, drop, false)
	quiet("clients G2", "clients G2")

	w.takeOut("clients", "clients_root")
	quiet("clients G2", "clients G2")
	w.takeOut("clients_g2")
	if _, err := w.run(w.server, trust); err == nil || !strings.Contains(err.Error(), "clients is not an authority of the inventory") {
		t.Errorf("an authority that is not there: %v", err)
	}
}

// chain is an authority's.
func (w *world) chain(name string) []*x509.Certificate {
	chain, err := w.ca.Chain(name)
	if err != nil {
		w.t.Fatal(err)
	}
	return chain
}

// TestReplaceServers does the same for the servers' intermediate and root, on a client whose files are in its home directory and which has lists.
func TestReplaceServers(t *testing.T) {
	w := loginWorld(t)
	home := map[string]any{"authorities": []any{"servers"}, "profile": "client", "tls_dir": "home", "crl": "yes"}
	w.must(w.client, task(t, "trust", home), true)
	add, drop := having(t, "trust", clientTrust, "only", "add"), having(t, "trust", clientTrust, "only", "drop")
	replace := having(t, "certificate", serverCertificate, "only", "replace")
	place := w.sb.ReadFile("/home/app/.pg_service.conf")
	w.declare(pki.Authority{Name: "servers_root_g2", Subject: "CN=servers root G2", Replaces: "servers_root"})
	w.declare(pki.Authority{Name: "servers_g2", Issuer: "servers_root_g2", Subject: "CN=servers G2", Replaces: "servers"})
	w.make("servers_root_g2")
	w.make("servers_g2")
	if err := w.look(w.client, add); err != nil {
		t.Fatal(err)
	}
	w.refused(w.server, replace, "app1.example.net (dbuser1 of app does not believe servers root G2)")
	w.refused(w.client, drop, "dbuser1 of app of app1.example.net does not believe the successor of root-ca2, intermediate.example.net yet")
	delete(w.ca.lists, "servers_g2")
	if _, err := w.run(w.client, add); err == nil || !strings.Contains(err.Error(), "list of revoked certificates of authority servers_g2") {
		t.Errorf("an authority without a list: %v", err)
	}
	w.ca.publish(t, "servers_g2", 1)
	// A key that the old authority knows to be compromised gets no certificate of the new one.
	_, _, key, _ := w.serverFiles()
	w.ca.publish(t, "servers", 2, x509.RevocationListEntry{SerialNumber: w.ca.issued[0].SerialNumber, RevocationTime: w.fleet.Now, ReasonCode: 1})
	// Its application has to know the successor before a server shows it.
	w.client.Identities[0].AfterChange = &Command{Argv: []string{"false"}, User: "app"}
	if _, err := w.run(w.client, add); err == nil || !strings.Contains(err.Error(), "after_change of dbuser1 of app (false as app)") {
		t.Errorf("an application that cannot be told: %v", err)
	}
	w.again()
	if err := w.look(w.client, add); err != nil {
		t.Fatal(err)
	}
	w.refused(w.server, replace, "dbuser1 of app has an application that has not been told yet (after_change)")
	w.client.Identities[0].AfterChange.Argv = []string{"touch", "/home/app/told"}
	w.must(w.client, add, true)
	w.must(w.client, add, false)
	w.sb.Shell("rm /home/app/told")
	w.again()
	w.refused(w.client, drop, "root-ca2, intermediate.example.net is still needed", "db1.example.net (cluster 15/main has a certificate of it)")
	refuses := func(what string, v *version, want bool) {
		t.Helper()
		w.again()
		if got := w.server.refusedByClients(v); got != want {
			t.Errorf("%s: clients refuse the certificate of before: %v", what, got)
		}
	}
	// Who was rolled back to a certificate of the old authority keeps it while that is believed.
	cert := task(t, "certificate", serverCertificate).(*certificateTask)
	old := &version{Chain: []*x509.Certificate{w.ca.issued[0]}}
	if by, err := cert.issuerFor(w.server, old); err != nil || by.name != "servers" {
		t.Errorf("a certificate of the old authority, believed: %v, %v", by, err)
	}
	refuses("both are believed", old, false)
	w.again()
	w.must(w.server, replace, true)
	if _, _, now, _ := w.serverFiles(); now == key {
		t.Error("the compromised key is kept")
	}
	w.reload()
	w.must(w.client, task(t, "trust", home), false)
	w.must(w.server, task(t, "certificate", serverCertificate), false)
	if got := w.believed(w.client); got != "root-ca2 intermediate.example.net servers root G2 servers G2" {
		t.Errorf("believed are %q", got)
	}
	if got := w.psql("service=dbuser1@db1"); got != "dbuser1|t" {
		t.Errorf("with both: %s", got)
	}
	w.again()
	w.must(w.client, drop, true)
	w.must(w.client, drop, false)
	w.must(w.client, task(t, "trust", home), false)
	w.sb.Shell("! [ -e /home/app/told ]")
	refuses("the old one is dropped", old, true)
	if err := w.look(w.server, replace); err != nil {
		t.Fatal(err)
	}
	clusters, err := Clusters(w.server)
	if err != nil {
		t.Fatal(err)
	}
	former := w.sb.Shell("ls -d /etc/pgfleet/15-main/v/* | head -n 1") + "/server.crt\n"
	if got := clusters[0].refusedFiles(w.server, clusters); got != former {
		t.Errorf("what must not come back is %q, want %q", got, former)
	}
	seen := w.client.View
	w.client.View = &View{}
	refuses("nobody was seen", old, false)
	w.client.View = seen
	w.again()
	if by, err := cert.issuerFor(w.server, old); err != nil || by.name != "servers_g2" {
		t.Errorf("a certificate of the old authority, dropped: %v, %v", by, err)
	}
	if got, lists := w.believed(w.client), w.listNumbers("/home/app/.postgresql/ca.crl"); got != "servers root G2 servers G2" || lists != "01 01" {
		t.Errorf("believed are %q, with lists %q", got, lists)
	}
	if got := w.psql("service=dbuser1@db1"); got != "dbuser1|t" {
		t.Errorf("with the successor alone: %s", got)
	}
	if now := w.sb.ReadFile("/home/app/.pg_service.conf"); now != place {
		t.Errorf("files have moved: services were\n%s\nand are\n%s", place, now)
	}
	// Exchanged instead of replaced, it would be one that nobody believes.
	w.declare(pki.Authority{Name: "servers_g3", Subject: "CN=servers G3", Replaces: "servers"})
	w.make("servers_g3")
	w.takeOut("servers", "servers_root", "servers_g2", "servers_root_g2")
	refuses("the inventory does not have it any more", old, true)
	if got := clusters[0].refusedFiles(w.server, clusters); got != former {
		t.Errorf("without both, what must not come back is %q, want %q", got, former)
	}
	w.declare(pki.Authority{Name: "unseen", Subject: "CN=unseen"})
	refuses("an authority of the inventory cannot be seen", old, false)
	w.takeOut("unseen")
	w.refused(w.server, task(t, "certificate", serverCertificate), "its certificate is of CN=servers G2", "app1.example.net (dbuser1 of app does not believe servers G3)", "pgfleet rotate-ca")
}

// TestJoinReplacement: a host that is new in the middle gets a certificate that everybody accepts, and believes whom the others believe.
func TestJoinReplacement(t *testing.T) {
	w := loginWorld(t)
	w.declare(clientsG2)
	w.make("clients_g2")
	fresh := &Host{Name: "app2.example.net", Roles: []string{"client"}, Servers: []string{"db1.example.net"}, Identities: w.client.Identities, View: &View{}, Fleet: w.fleet}
	w.fleet.Hosts[fresh.Name] = fresh
	cert := task(t, "certificate", clientCertificate).(*certificateTask)
	first := func() string {
		t.Helper()
		w.again()
		if err := w.look(w.server, having(t, "trust", serverTrusts)); err != nil {
			t.Fatal(err)
		}
		by, err := cert.issuerFor(fresh, nil)
		if err != nil {
			t.Fatal(err)
		}
		return by.name
	}
	trust := &trustTask{Authorities: []string{"clients"}, Profile: "server"}
	db2 := &Host{Name: "db2.example.net", Roles: []string{"db_server"}, View: &View{}, Fleet: w.fleet}
	believes := func() string {
		t.Helper()
		stay, _, err := trust.believing(db2, nil)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(stay, " ")
	}
	if got, both := first(), believes(); got != "clients" || both != "clients clients_g2" {
		t.Errorf("while db1 believes the old one alone, a new client has a certificate of %s, and a new server believes %s", got, both)
	}
	w.must(w.server, having(t, "trust", serverTrusts, "only", "add"), true)
	w.reload()
	if got, both := first(), believes(); got != "clients_g2" || both != "clients clients_g2" {
		t.Errorf("while db1 believes both, a new client has a certificate of %s, and a new server believes %s", got, both)
	}
	delete(w.fleet.Hosts, fresh.Name)
	w.must(w.client, having(t, "certificate", clientCertificate, "only", "replace"), true)
	w.must(w.server, having(t, "trust", serverTrusts, "only", "drop"), true)
	w.reload()
	if got, one := first(), believes(); got != "clients_g2" || one != "clients_g2" {
		t.Errorf("when db1 believes the successor alone, a new client has a certificate of %s, and a new server believes %s", got, one)
	}
	db1 := w.server.View
	w.server.View = &View{}
	if by, err := cert.issuerFor(fresh, nil); err != nil || by.name != "clients_g2" {
		t.Errorf("of nobody who was seen: %v, %v", by, err)
	}
	w.server.View = db1
}

// TestSessionsOfReplaced: sessions are those that began with a certificate of the old authority, also where PostgreSQL cuts names so that both look alike.
func TestSessionsOfReplaced(t *testing.T) {
	w := newWorld(t)
	long := "CN=" + strings.Repeat("x", 60)
	w.declare(pki.Authority{Name: "clients", Subject: long + " G1"})
	w.declare(pki.Authority{Name: "clients_g2", Subject: long + " G2", Replaces: "clients"})
	for _, name := range []string{"clients", "clients_g2"} {
		key := w.ca.keys[name]
		if key == nil {
			key = w.ca.keys["servers"]
		}
		w.ca.serial++
		tmpl := &x509.Certificate{SerialNumber: big.NewInt(w.ca.serial), Subject: pkix.Name{CommonName: strings.TrimPrefix(w.fleet.Authorities[name].Subject, "CN=")}, IsCA: true,
			BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, NotAfter: w.fleet.Now.AddDate(1, 0, 0)}
		w.ca.certs[name], w.ca.keys[name], w.ca.issuers[name] = w.ca.sign(t, tmpl, tmpl, key.Public(), key), key, ""
		w.ca.publish(t, name, 1)
	}
	w.serverSeen(5432)
	w.must(w.client, task(t, "trust", clientTrust), true)
	w.must(w.client, having(t, "certificate", map[string]any{"issuer": "clients_g2", "profile": "client"}), true)
	serial := w.ca.issued[len(w.ca.issued)-1].SerialNumber.String()
	shown := ("/" + long)[:63]
	c := &Cluster{ID: "15/main", Sessions: []Session{{User: "dbuser1", Address: "10.0.0.1", Serial: serial, Issuer: shown}, {User: "dbuser1", Address: "10.0.0.2", Serial: "77", Issuer: shown},
		{User: "batch", Address: "10.0.0.3"}}}
	sessions, err := task(t, "postgres_sessions", map[string]any{"certificates": []any{}, "replaced": []any{"clients"}}).(*postgresSessions).sessions(w.client, c)
	if err != nil || len(sessions) != 1 || sessions[0].Address != "10.0.0.2" {
		t.Errorf("sessions of the old authority: %v, %v", sessions, err)
	}
	c.Sessions[1].User = "standby"
	if _, err := task(t, "postgres_sessions", map[string]any{"certificates": []any{}, "replaced": []any{"clients"}}).(*postgresSessions).sessions(w.client, c); err == nil || !strings.Contains(err.Error(), "the session of standby from 10.0.0.2") {
		t.Errorf("the session of somebody whose certificate nobody renews: %v", err)
	}
	// It is revoked, and the server's list says so: it cannot come back. (A list of another authority says nothing of it.)
	revoked := x509.RevocationListEntry{SerialNumber: big.NewInt(77), RevocationTime: w.fleet.Now}
	w.ca.publish(t, "clients_g2", 2, revoked)
	w.ca.publish(t, "clients", 2, revoked)
	c.Settings = map[string]Setting{"ssl_crl_file": {Value: "/crl"}}
	c.Files = map[string]HostFile{"/crl": {Bytes: pki.CRLPEM(w.ca.lists["clients_g2"])}}
	if _, err := task(t, "postgres_sessions", map[string]any{"certificates": []any{}, "replaced": []any{"clients"}}).(*postgresSessions).sessions(w.client, c); err == nil {
		t.Error("a list of the successor counts for a certificate of the old authority")
	}
	newest := w.ca.lists["clients"]
	w.ca.publish(t, "clients", 1)
	c.Files["/crl"] = HostFile{Bytes: pki.CRLPEM(w.ca.lists["clients"])}
	if _, err := task(t, "postgres_sessions", map[string]any{"certificates": []any{}, "replaced": []any{"clients"}}).(*postgresSessions).sessions(w.client, c); err == nil {
		t.Error("a list that does not name it counts")
	}
	c.Files["/crl"] = HostFile{Bytes: pki.CRLPEM(newest)}
	sessions, err = task(t, "postgres_sessions", map[string]any{"certificates": []any{}, "replaced": []any{"clients"}}).(*postgresSessions).sessions(w.client, c)
	if err != nil || len(sessions) != 1 || sessions[0].Address != "10.0.0.2" {
		t.Errorf("sessions whose certificate is revoked: %v, %v", sessions, err)
	}
	w.client.View.Put(transport.Result{Key: identityKey(w.client.Identities[0])})
	if _, err := task(t, "postgres_sessions", map[string]any{"certificates": []any{}, "replaced": []any{"clients"}}).(*postgresSessions).sessions(w.client, c); err == nil {
		t.Error("sessions are ended although nothing is known of a client")
	}
}

// belowOneRoot has the authority clients_g2 below the root clients.
type belowOneRoot struct{ testCAs }

func (m belowOneRoot) Chain(name string) ([]*x509.Certificate, error) {
	if name == "clients_g2" {
		return []*x509.Certificate{m.testCAs["clients_g2"].cert, m.testCAs["clients"].cert}, nil
	}
	return m.testCAs.Chain(name)
}

// TestProveReplaced: a successor below the same root that the server does not know yet is not asked about, and of an authority that is not ours it is said that nothing is proved.
func TestProveReplaced(t *testing.T) {
	p := newPGHost(t)
	ca, next := newTestCA(t, "clients"), newTestCA(t, "clients_g2")
	p.host.Fleet.CA = belowOneRoot{testCAs{"clients": ca, "clients_g2": next}}
	reload := &postgresReload{WithProof: true}
	p.must(true, settingsTask(p.withTLSFiles("1", ca)))
	p.must(true, settingsTask(p.withTrust("a", ca)))
	p.must(true, reload)
	prove := func(clients, g2 pki.Authority) string {
		t.Helper()
		p.host.Fleet.Proofs = &Proofs{}
		p.host.Fleet.Authorities = map[string]pki.Authority{"clients": clients, "clients_g2": g2}
		if err := reload.Prove(t.Context(), p.host, p); err != nil {
			return err.Error()
		}
		return strings.Join(reload.Notes(), "\n")
	}
	clients := pki.Authority{Name: "clients"}
	if got := prove(clients, pki.Authority{Name: "clients_g2", Issuer: "clients", Replaces: "clients"}); got != "" {
		t.Errorf("a successor that is not believed yet: %q", got)
	}
	// Nobody is told to believe this one, so a server without its list is as wanted.
	if got := prove(clients, pki.Authority{Name: "clients_g2", Issuer: "clients"}); got != "" {
		t.Errorf("another authority below a root that is believed: %q", got)
	}
	if got := prove(pki.Authority{Name: "clients", External: "old.pem"}, pki.Authority{Name: "clients_g2", Replaces: "clients"}); !strings.Contains(got, "not proved for authority") {
		t.Errorf("an authority that is not ours: %q", got)
	}
}

// reasons is an Authorities that only knows why the certificates of some are not known.
type reasons struct {
	testCAs
	why map[string]error
}

func (m reasons) Chain(name string) ([]*x509.Certificate, error) {
	if err := m.why[name]; err != nil {
		return nil, err
	}
	return m.testCAs.Chain(name)
}

// Why an authority cannot be read is not hidden by a successor that is not made yet.
func TestReasonOfGenerations(t *testing.T) {
	broken, pending, waiting := errors.New("ca.crt is broken"), fmt.Errorf("known after apply: %w", ErrPending), &WaitingError{Authority: "g2", What: []string{"its certificate"}}
	made := testCAs{"g1": newTestCA(t, "g1"), "g2": newTestCA(t, "g2")}
	for name, c := range map[string]struct {
		why  map[string]error
		want error
		says string
	}{
		"all made":                  {nil, nil, ""},
		"old one broken":            {map[string]error{"g1": broken, "g2": pending}, broken, "g1"},
		"old one broken, new waits": {map[string]error{"g1": broken, "g2": waiting}, broken, "g1"},
		"new one broken":            {map[string]error{"g1": pending, "g2": broken}, broken, "g2"},
		"new one not made":          {map[string]error{"g2": pending}, ErrPending, "g2"},
		"old one gone":              {map[string]error{"g1": pending}, ErrPending, "g1"},
		"neither made":              {map[string]error{"g1": pending, "g2": pending}, ErrPending, "g1"},
	} {
		h := &Host{Fleet: &Fleet{CA: reasons{made, c.why}}}
		chains, missing := h.made([]string{"g1", "g2"})
		if !errors.Is(missing, c.want) || missing != nil && !strings.Contains(missing.Error(), "authority "+c.says) || len(chains) != 2-len(c.why) {
			t.Errorf("%s: %d chains, %v", name, len(chains), missing)
		}
	}
}
