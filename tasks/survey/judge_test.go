package survey

import (
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/tasks/postgres"
)

// wrong gives every finding as "host kind state: reason", sorted.
func wrong(rows []Row) []string {
	var out []string
	for _, r := range rows {
		for _, f := range r.Findings {
			out = append(out, r.Host+" "+string(r.Kind)+" "+string(f.State)+": "+f.Reason)
		}
	}
	slices.Sort(out)
	return out
}

// TestJudge breaks one thing at a time in a fleet where everything is as it should be; nothing but that is found. A want names the beginning of a finding, and after … what it says besides.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*world)
		want []string
	}{
		{"as it should be", func(*world) {}, nil},

		// Certificates.
		{"the server's is over", func(w *world) {
			w.serverLeaf = issue(w.t, w.server, short(serverTemplate()), w.serverKey, now.Add(-48*time.Hour))
			w.db().Cert.Certs[0], w.db().Served[0] = w.serverLeaf, w.serverLeaf
			w.record(2, w.serverLeaf, "db1", pki.ProfileServer)
		}, []string{"db1 certificate expired: it ended on 2026-05-31"}},
		{"not begun", func(w *world) { w.later(-time.Hour); w.db().Loaded = now.Add(-time.Hour) }, []string{
			"app1 authority not_valid_yet", "app1 authority not_valid_yet", "app1 certificate not_valid_yet",
			"ca1 authority not_valid_yet", "ca1 list not_valid_yet", "ca2 authority not_valid_yet", "ca2 authority not_valid_yet", "ca2 list not_valid_yet", "ca2 list not_valid_yet",
			"db1 authority not_valid_yet", "db1 certificate not_valid_yet", "db1 list not_valid_yet"}},
		{"two thirds are over", func(w *world) { w.later(year / 3 * 2) }, []string{
			"app1 certificate renew_soon: two thirds of its life are over (121 days left)", "db1 certificate renew_soon"}},
		{"a name is lacking", func(w *world) { w.db().Names = append(w.db().Names, "db.example.net") }, []string{
			"db1 certificate renew_soon: its names lack db.example.net"}},
		{"revoked by the records alone", func(w *world) {
			w.ca(0).Revoked = []pki.Revoked{{Serial: w.clientLeaf.SerialNumber, At: now, Reason: 1, Expires: w.clientLeaf.NotAfter}}
		}, []string{"app1 certificate revoked: revoked on 2026-06-01 (keyCompromise)", "ca1 list records_differ: it lacks the revoked "}},
		{"revoked by a list in force, the authority was not looked at", func(w *world) {
			w.db().Lists.Lists = []*x509.RevocationList{w.clients.list(w.t, 2, 0, now, w.clientLeaf)}
			*w.ca(0) = Authority{Name: "clients", Host: "ca1", Subject: "CN=clients"}
		}, []string{"app1 certificate revoked: revoked on 2026-06-01 (keyCompromise)"}},
		{"a list of somebody of the same name says revoked", func(w *world) {
			forged := newAuthority(w.t, nil, "clients", year, now)
			w.app().Others = []File{{Path: "/x.crt", Certs: []*x509.Certificate{forged.cert}}, {Path: "/x.crl", Lists: []*x509.RevocationList{forged.list(w.t, 9, 0, now, w.clientLeaf)}}}
		}, []string{"app1 authority not_ours"}},
		{"signed by nobody of ours", func(w *world) {
			other := newAuthority(w.t, nil, "other", 10*year, now)
			leaf := issue(w.t, other, serverTemplate(), w.serverKey, now)
			w.db().Cert.Certs, w.db().Served = []*x509.Certificate{leaf}, []*x509.Certificate{leaf}
		}, []string{"db1 certificate not_ours: … its issuer is CN=other", "db1 certificate not_trusted: not accepted by app1 (u of app): incomplete: db1: its issuer CN=other is missing"}},
		{"its issuer has a new key", func(w *world) {
			again := newAuthority(w.t, nil, "clients", 10*year, now)
			*w.ca(0) = Authority{Name: "clients", Host: "ca1", Dir: "/ca/clients", Root: true, Cert: again.cert, List: again.list(w.t, 1, 0, now), Seen: true, Public: again.key.Public()}
			w.db().Trust.Certs = []*x509.Certificate{again.cert}
			w.db().Lists.Lists = []*x509.RevocationList{w.ca(0).List}
		}, []string{"app1 certificate not_trusted: … did not sign it", "app1 certificate renew_soon: the key of its issuer CN=clients has changed"}},
		{"its issuer could not be looked at", func(w *world) {
			*w.ca(2) = Authority{Name: "servers", Host: "ca2", Subject: "CN=servers"}
			w.app().Trust.Certs = nil
		}, nil},

		// Keys.
		{"another key", func(w *world) { w.db().Key.Public = newKey(w.t).Public() }, []string{
			"db1 certificate key_mismatch: /etc/pgfleet/15-main/v/2/server.key is another key: PostgreSQL does not start with it"}},
		{"another key of a client", func(w *world) { w.app().Key.Public = newKey(w.t).Public() }, []string{"app1 certificate key_mismatch: … no connection can be made"}},
		{"no key", func(w *world) { w.db().Key = Key{File: File{Path: "/k", Absent: true}} }, []string{"db1 key missing: /k is not there"}},
		{"a key with a passphrase", func(w *world) { w.app().Key.Public, w.app().Key.Passphrase = nil, true }, []string{"app1 key unreadable: it has a passphrase"}},
		{"a key that cannot be read", func(w *world) { w.db().Key.Public, w.db().Key.Problem = nil, "it is broken" }, []string{"db1 key unreadable: it is broken"}},
		{"everybody may read a client's key", func(w *world) { w.app().Key.Mode = 0o644 }, []string{"app1 key wrong_mode: it has mode 0644: libpq"}},
		{"the group may read a client's key", func(w *world) { w.app().Key.Mode = 0o640 }, []string{"app1 key wrong_mode: it has mode 0640: libpq"}},
		{"the group may change a server's key", func(w *world) { w.db().Key.Mode = 0o660 }, []string{"db1 key wrong_mode: it has mode 0660: at most 0640 when root owns it"}},
		{"everybody may read a server's key", func(w *world) { w.db().Key.Mode = 0o644 }, []string{"db1 key wrong_mode: it has mode 0644: at most 0640 when root owns it"}},
		{"the group may read the server user's own key", func(w *world) { w.db().Key.Owner = "postgres" }, []string{"db1 key wrong_mode: it has mode 0640: at most 0600 when postgres owns it"}},
		{"a third user's key", func(w *world) { w.db().Key.Owner = "alice" }, []string{"db1 key wrong_mode: it belongs to alice"}},
		{"another user's client key", func(w *world) { w.app().Key.Owner = "alice" }, []string{"app1 key wrong_mode: it belongs to alice, not to app"}},

		// Files.
		{"a certificate file is gone", func(w *world) { w.db().Cert = File{Path: "/c", Absent: true} }, []string{"db1 certificate missing: /c is not there"}},
		{"a certificate file is broken", func(w *world) { w.app().Cert = File{Path: "/c", Problem: "/c is broken"} }, []string{"app1 certificate unreadable: /c is broken"}},
		{"others may change a certificate", func(w *world) { w.app().Cert.Mode = 0o666 }, []string{"app1 certificate wrong_mode: it has mode 0666"}},
		{"the server's user may change what is root's", func(w *world) { w.db().Trust.Owner = "postgres" }, []string{"db1 authority wrong_mode: it belongs to postgres"}},
		{"nothing may be written below the home", func(w *world) { w.app().Refused = "/home/app/.postgresql is a symbolic link" }, []string{"app1 services wrong_mode: /home/app/.postgresql is a symbolic link"}},

		// Chains.
		{"the authority in between is not in the file", func(w *world) { w.db().Cert.Certs = w.db().Cert.Certs[:1] }, []string{
			"db1 certificate chain_incomplete: … its issuer CN=servers is missing"}},
		{"a client does not believe the root", func(w *world) { w.app().Trust.Certs = []*x509.Certificate{w.clients.cert} }, []string{
			"db1 certificate not_trusted: not accepted by app1 (u of app): incomplete: servers: its issuer CN=servers root is missing"}},
		{"a server does not believe the client's authority", func(w *world) {
			w.db().Trust.Certs, w.db().Lists.Lists = []*x509.Certificate{w.root.cert}, []*x509.RevocationList{w.ca(1).List}
			w.db().Asks = []string{sequence(w.root.cert.RawSubject)}
		}, []string{"app1 certificate not_trusted: not accepted by db1 (15/main): incomplete: u: its issuer CN=clients is missing"}},
		{"a client's certificate at a server", func(w *world) {
			leaf := issue(w.t, w.server, clientTemplate(), w.serverKey, now)
			w.db().Names, w.db().Cert.Certs[0], w.db().Served[0] = nil, leaf, leaf
			w.record(2, leaf, "db1", pki.ProfileClient)
		}, []string{"db1 certificate not_trusted: … wrong use"}},

		// What is served.
		{"another one is served", func(w *world) {
			w.db().Served = []*x509.Certificate{issue(w.t, w.server, serverTemplate(), w.serverKey, now)}
		}, []string{"db1 certificate not_served: the server presents CN=db1 with serial "}},
		{"without the authority in between that is in the file", func(w *world) { w.db().Served = w.db().Served[:1] }, []string{
			"db1 certificate not_served: the server presents it without CN=servers, which the file has"}},
		{"more is served than is in the file", func(w *world) { w.db().Served = append(w.db().Served, w.root.cert) }, nil}, // OpenSSL adds what it finds in ssl_ca_file
		{"no TLS is served", func(w *world) { w.db().Served, w.db().Asks = nil, nil }, []string{"db1 certificate not_served: TLS is not offered"}},
		{"what is served could not be seen", func(w *world) { w.db().Seen, w.db().Served, w.db().Asks = false, nil, nil }, nil},
		{"the server asks for others", func(w *world) { w.db().Asks = []string{"CN=old"} }, []string{"db1 authority not_served: the server does not ask"}},
		{"the list is newer than the last reload", func(w *world) { w.db().Lists.ModTime = now.Add(time.Minute) }, []string{"db1 list not_served: the file is newer"}},
		{"the running server has another file of lists", func(w *world) { w.db().InForce["ssl_crl_file"] = "/old.pem" }, []string{"db1 list not_served: the running server has another file (ssl_crl_file = /old.pem)"}},
		{"TLS is off", func(w *world) { w.db().TLS = false }, []string{"db1 certificate missing: TLS is off"}},

		// Lists.
		{"a list is missing for one authority", func(w *world) {
			w.db().Trust.Certs = append(w.db().Trust.Certs, w.root.cert)
			w.db().Asks = append(w.db().Asks, sequence(w.root.cert.RawSubject))
		}, []string{"db1 authority list_missing: /etc/pgfleet/15-main/crl.pem has no list of it: every client with a certificate below CN=servers root is refused"}},
		{"the file of lists is gone", func(w *world) { w.db().Lists = File{Path: "/l", Absent: true}; w.db().InForce["ssl_crl_file"] = "/l" }, []string{
			"app1 certificate not_trusted: … no list", "db1 list list_missing: /l is not there"}},
		{"no lists at all", func(w *world) { w.db().Lists = File{} }, []string{"db1 authority list_missing: no lists of revoked certificates are in force"}},
		{"lists may be in a folder", func(w *world) { w.db().Lists, w.db().ListFolder = File{}, true }, nil},
		{"a list is over", func(w *world) {
			w.ca(0).List = w.clients.list(w.t, 1, time.Minute, now)
			w.db().Lists.Lists = []*x509.RevocationList{w.ca(0).List}
		}, []string{"app1 certificate not_trusted: … list not valid", "ca1 list expired: it ended on 2026-06-01", "db1 list expired: it ended on 2026-06-01: every client with a certificate below CN=clients is refused"}},
		{"a list ends", func(w *world) {
			w.ca(0).List = w.clients.list(w.t, 1, 30*24*time.Hour, now.Add(-21*24*time.Hour))
			w.db().Lists.Lists = []*x509.RevocationList{w.ca(0).List}
		}, []string{"ca1 list list_ending: two thirds of its life are over; on 2026-06-10 it ends", "db1 list list_ending"}},
		{"a client has a list that is over", func(w *world) {
			w.app().Lists = w.file("/l", "app", 0o600)
			w.app().Lists.Lists = []*x509.RevocationList{w.root.list(w.t, 1, time.Minute, now), w.ca(2).List}
		}, []string{"app1 list expired: … every connection to a server with a certificate below CN=servers root is refused", "app1 list records_differ", "db1 certificate not_trusted: … list not valid"}},
		{"of two clients that believe the same, one has a list that is over", func(w *world) {
			second := *w.app()
			second.OSUser, second.Lists = "web", w.file("/l", "web", 0o600)
			second.Cert.Owner, second.Key.Owner, second.Trust.Owner = "web", "web", "web"
			second.Lists.Lists = []*x509.RevocationList{w.root.list(w.t, 1, time.Minute, now), w.ca(2).List}
			w.fleet.Clients = append(w.fleet.Clients, second)
		}, []string{"app1 list expired", "app1 list records_differ", "db1 certificate not_trusted: not accepted by app1 (u of web): list not valid"}},
		{"another's list", func(w *world) {
			other := newAuthority(w.t, nil, "other", 10*year, now)
			w.db().Lists.Lists = append(w.db().Lists.Lists, other.list(w.t, 1, 0, now))
		}, []string{"db1 list not_ours"}},

		// Authorities.
		{"an authority is due", func(w *world) {
			w.clients = newAuthority(w.t, nil, "clients", 3*year, now.Add(-5*year/2))
			w.clientLeaf = issue(w.t, w.clients, clientTemplate90(), w.clientKey, now)
			*w.ca(0) = Authority{Name: "clients", Host: "ca1", Dir: "/ca/clients", Root: true, Cert: w.clients.cert, List: w.clients.list(w.t, 1, 0, now), Seen: true, Public: w.clients.key.Public()}
			w.record(0, w.clientLeaf, "app1", pki.ProfileClient)
			w.app().Cert.Certs, w.db().Trust.Certs, w.db().Lists.Lists = []*x509.Certificate{w.clientLeaf}, []*x509.Certificate{w.clients.cert}, []*x509.RevocationList{w.ca(0).List}
		}, []string{"ca1 authority renew_soon: two thirds of its life are over", "db1 authority renew_soon"}},
		{"an authority that is not ours is believed", func(w *world) {
			other := newAuthority(w.t, nil, "other", 10*year, now)
			w.app().Trust.Certs = append(w.app().Trust.Certs, other.cert)
		}, []string{"app1 authority not_ours: it is no authority of the inventory"}},
		{"an authority signed again with its key is ours", func(w *world) {
			again := issue(w.t, nil, pki.Template{Profile: pki.ProfileCA, Subject: w.root.cert.Subject, ValidFor: 9 * year, MaxPathLen: 1}, w.root.key, now)
			w.app().Trust.Certs = append(w.app().Trust.Certs, again)
		}, nil},
		{"an authority without a certificate", func(w *world) {
			*w.ca(0) = Authority{Name: "clients", Host: "ca1", Dir: "/ca/clients", Subject: "CN=clients", Root: true, Seen: true}
		}, []string{
			"ca1 authority missing: the authority is gone, and the fleet has its certificate"}},
		{"an authority that nobody has heard of", func(w *world) {
			*w.ca(0) = Authority{Name: "clients", Host: "ca1", Dir: "/ca/clients", Subject: "CN=clients G2", Root: true, Seen: true}
		}, []string{"app1 certificate not_ours", "ca1 authority missing: the authority has no certificate yet", "db1 authority not_ours", "db1 list not_ours"}},
		{"an authority's key is gone", func(w *world) { w.ca(0).Public = nil }, []string{"ca1 key missing: the authority's key is not there"}},
		{"an authority's key cannot be read", func(w *world) { w.ca(0).Public, w.ca(0).KeyProblem = nil, "openssl cannot read it" }, []string{"ca1 key unreadable: openssl cannot read it"}},
		{"an authority's key is another", func(w *world) { w.ca(0).Public = newKey(w.t).Public() }, []string{"ca1 authority key_mismatch"}},
		{"an authority is open to others", func(w *world) { w.ca(0).Open = []string{"keys is open to others (drwxr-xr-x)"} }, []string{"ca1 authority wrong_mode: keys is open"}},
		{"an authority has the list of another", func(w *world) { w.ca(0).List = w.root.list(w.t, 1, 0, now) }, []string{
			"ca1 list list_missing: the authority has no list of its own: list of CN=servers root does not belong to authority clients"}},
		{"an authority has no list", func(w *world) { w.ca(0).List = nil }, []string{"ca1 list list_missing"}},

		// Records.
		{"index.txt and the records differ", func(w *world) { w.ca(0).Differs = []string{"revoked 01"} }, []string{"ca1 authority records_differ: index.txt and the records differ: revoked 01"}},
		{"no record of a certificate", func(w *world) { w.ca(2).Records = nil }, []string{"db1 certificate records_differ: authority servers has no record of it"}},
		{"no record of an authority", func(w *world) { w.ca(1).Records = nil }, []string{"ca2 authority records_differ: authority root has no record of it"}},
		{"issued for another host", func(w *world) { w.ca(2).Records[0].Host = "db2" }, []string{"db1 certificate records_differ: authority servers issued it for db2"}},
		{"an authority has another host since", func(w *world) { w.ca(1).Records[0].Host = "ca9" }, nil},
		{"the server has an older list", func(w *world) { w.ca(0).List = w.clients.list(w.t, 2, 0, now) }, []string{"db1 list records_differ: it has number 1, authority clients has made 2 since"}},
		{"and lacks what was revoked", func(w *world) { w.ca(0).List = w.clients.list(w.t, 2, 0, now, w.serverLeaf) }, []string{"db1 list records_differ: … it lacks the revoked "}},
		{"another list has the number of the server's", func(w *world) {
			w.db().Lists.Lists = []*x509.RevocationList{w.clients.list(w.t, 1, 0, now.Add(-time.Minute))}
		}, []string{
			"db1 list records_differ: it has number 1, the newest of authority clients is 1"}},
		{"the authority is older than its lists", func(w *world) { w.db().Lists.Lists = []*x509.RevocationList{w.clients.list(w.t, 7, 0, now)} }, []string{
			"db1 list records_differ: it has number 7, the newest of authority clients is 1"}},

		// Settings, rules, services.
		{"the include line is gone", func(w *world) { w.db().Config = []byte("port = 5432\n") }, []string{"db1 settings include_lost: it does not include"}},
		{"something follows it that wins", func(w *world) { w.db().Config = append(w.db().Config, "ssl_cert_file = 'x'\n"...) }, []string{"db1 settings include_lost: it has settings or includes after"}},
		{"another file follows it", func(w *world) { w.db().Config = append(w.db().Config, "include_dir 'conf.d'\n"...) }, []string{"db1 settings include_lost: it has settings or includes after"}},
		{"something follows it that does not matter", func(w *world) { w.db().Config = append(w.db().Config, "work_mem = 1MB\n"...) }, nil},
		{"the included file is gone", func(w *world) { w.db().OurSettings = nil }, []string{"db1 settings missing: … PostgreSQL does not start"}},
		{"the included file is gone, where it may be", func(w *world) {
			w.db().Config, w.db().OurSettings = []byte(postgres.IncludeIfExistsLine(w.db().Settings)+"\n"), nil
		}, []string{"db1 settings missing: … PostgreSQL starts without what pgfleet has set"}},
		{"nothing was ever set", func(w *world) { w.db().Config, w.db().OurSettings = nil, map[string]string{} }, nil},
		{"another tool writes the configuration", func(w *world) {
			w.db().Config, w.db().HBA, w.db().Managed, w.db().ManagedRules = nil, []byte("local all all peer\n"), true, true
		}, nil},
		{"the block is gone", func(w *world) { w.db().HBA = []byte("local all all peer\n") }, []string{"db1 rules rules_lost: pgfleet's block is gone; stage cert was set"}},
		{"the block was changed", func(w *world) { w.db().HBA = []byte("# BEGIN pgfleet\nhostssl all all all trust\n# END pgfleet\n") }, []string{"db1 rules rules_lost: pgfleet's block was changed by hand"}},
		{"TLS is off, with files that nobody would believe", func(w *world) {
			w.db().TLS, w.db().Trust.Certs = false, []*x509.Certificate{newAuthority(w.t, nil, "other", 10*year, now).cert}
		}, []string{"db1 certificate missing: TLS is off"}},
		{"half a block", func(w *world) { w.db().HBA = []byte("# BEGIN pgfleet\nlocal all all peer\n") }, []string{"db1 rules rules_lost: line 1: "}},
		{"no block is wanted", func(w *world) {
			w.db().HBA, w.db().Noted = []byte("local all all peer\n"), Rules{"permissive", Digest(nil)}
		}, nil},
		{"nothing was noted", func(w *world) { w.db().HBA, w.db().Noted = []byte("local all all peer\n"), Rules{} }, nil},
		{"the marks of the services are broken", func(w *world) { w.app().Broken = "it has no end mark" }, []string{"app1 services services_lost: it has no end mark"}},
		{"the services are gone", func(w *world) {
			c := w.app()
			c.Versions, c.Pair, c.Named = []Pair{c.Pair}, Pair{}, false
		}, []string{"app1 services services_lost"}},
		{"services that name no certificate", func(w *world) { w.app().Pair = Pair{} }, []string{"app1 certificate missing: no certificate is named"}},
		{"a configuration that names no certificate", func(w *world) { w.db().Pair = Pair{} }, []string{"db1 certificate missing: no certificate is named"}},
		{"a client without a certificate", func(w *world) { w.app().Pair, w.app().Named = Pair{}, false }, []string{"app1 certificate missing: it has no certificate"}},

		// What nobody uses.
		{"an older version is no trouble", func(w *world) {
			old := issue(w.t, w.server, short(serverTemplate()), w.serverKey, now.Add(-48*time.Hour))
			w.db().Versions = []Pair{{Cert: File{Path: "/v/1/server.crt", Certs: []*x509.Certificate{old}}, Key: w.key("/v/1/server.key", "root", 0o640, newKey(w.t))}}
		}, nil},
		{"but its key must not be open", func(w *world) {
			w.db().Versions = []Pair{{Cert: File{Path: "/v/1/server.crt", Absent: true}, Key: w.key("/v/1/server.key", "root", 0o644, w.serverKey)}}
		}, []string{
			"db1 key wrong_mode"}},
		{"a stranger's certificate beside ours", func(w *world) {
			other := newAuthority(w.t, nil, "other", year, now)
			w.app().Others = []File{{Path: "/home/app/.postgresql/root.crt", Certs: []*x509.Certificate{other.cert}}}
		}, []string{"app1 authority not_ours"}},
		{"what could not be looked at", func(w *world) { w.fleet.Unseen = []Unseen{{Host: "db2", Reason: "no connection"}} }, []string{"db2 host not_seen: no connection"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			c.do(w)
			got := wrong(Judge(w.fleet))
			same := len(got) == len(c.want)
			for i := 0; same && i < len(got); i++ {
				begin, also, _ := strings.Cut(c.want[i], "…")
				same = strings.HasPrefix(got[i], strings.TrimSpace(begin)) && strings.Contains(got[i], strings.TrimSpace(also))
			}
			if !same {
				t.Errorf("found\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
			}
		})
	}
}

func short(tmpl pki.Template) pki.Template {
	tmpl.ValidFor = 24 * time.Hour
	return tmpl
}

func clientTemplate90() pki.Template {
	tmpl := clientTemplate()
	tmpl.ValidFor = 90 * 24 * time.Hour
	return tmpl
}

// Every certificate, key and list of the good fleet has its row, with everything that is to be told of it.
func TestRows(t *testing.T) {
	w := newWorld(t)
	rows := Judge(w.fleet)
	var got []string
	for _, r := range rows {
		if r.State != OK || !r.InForce {
			t.Errorf("%s %s is %s", r.Host, r.Path, r.State)
		}
		got = append(got, strings.Join([]string{r.Host, r.Role, r.Holder, string(r.Kind), r.Path}, " "))
	}
	slices.Sort(got)
	want := []string{
		"app1 client u of app authority " + clientDir + "/root.crt", "app1 client u of app authority " + clientDir + "/root.crt",
		"app1 client u of app certificate " + clientDir + "/v/1/client.crt", "app1 client u of app key " + clientDir + "/v/1/client.key",
		"ca1 root_ca clients authority /ca/clients/certs/ca.crt", "ca1 root_ca clients key /ca/clients/keys/ca.key", "ca1 root_ca clients list /ca/clients/crl/ca.crl",
		"ca2 intermediate_ca servers authority /ca/servers/certs/ca.crt", "ca2 intermediate_ca servers key /ca/servers/keys/ca.key", "ca2 intermediate_ca servers list /ca/servers/crl/ca.crl",
		"ca2 root_ca root authority /ca/root/certs/ca.crt", "ca2 root_ca root key /ca/root/keys/ca.key", "ca2 root_ca root list /ca/root/crl/ca.crl",
		"db1 db_server 15/main authority " + serverDir + "/trust.pem", "db1 db_server 15/main certificate " + serverDir + "/v/2/server.crt",
		"db1 db_server 15/main key " + serverDir + "/v/2/server.key", "db1 db_server 15/main list " + serverDir + "/crl.pem",
	}
	if !slices.Equal(got, want) {
		t.Errorf("rows\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	i := slices.IndexFunc(rows, func(r Row) bool { return r.Path == serverDir+"/v/2/server.crt" })
	r := rows[i]
	if r.Subject != "CN=db1" || r.Issuer != "CN=servers" || r.Serial != pki.FormatSerial(w.serverLeaf.SerialNumber) || *r.DaysLeft != 364 || !slices.Equal(r.Names, []string{"db1", "10.0.0.1"}) {
		t.Errorf("%+v", r)
	}
	if r.Renewal == nil || r.Renewal.Due || !r.Renewal.At.Equal(pki.RenewAt(w.serverLeaf)) {
		t.Errorf("renewal %+v", r.Renewal)
	}
	if !r.Ends(w.fleet.Now, year) || r.Ends(w.fleet.Now, 300*24*time.Hour) {
		t.Error("it ends in a year")
	}
	if r.InForce = false; r.Ends(w.fleet.Now, year) {
		t.Error("what nobody uses may end")
	}
}

// The most urgent stands first, whatever the order of the facts.
func TestOrder(t *testing.T) {
	w := newWorld(t)
	w.later(year / 3 * 2) // both leaves are due
	w.app().Key.Public = newKey(t).Public()
	w.db().HBA = []byte("local all all peer\n")
	w.fleet.Unseen = []Unseen{{Host: "db2", Reason: "no connection"}}
	var got []State
	for _, r := range Judge(w.fleet)[:5] {
		got = append(got, r.State)
	}
	if want := []State{Unlooked, KeyMismatch, RulesLost, RenewSoon, OK}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, s := range order {
		if s.Word() == "" || s.Level() == Fine && s != OK && s != NotInForce {
			t.Errorf("%s has no word or level", s)
		}
	}
}

func TestOrphans(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*world)
		want string
	}{
		{"none", func(*world) {}, ""},
		{"its host is gone", func(w *world) { w.fleet.Clients = nil; delete(w.fleet.Hosts, "app1") }, "issued for app1, which is not in the inventory"},
		{"its host does not have it", func(w *world) { w.fleet.Clients = nil }, "issued for app1, which does not have it any more"},
		{"its host was not looked at", func(w *world) { w.fleet.Clients, w.fleet.Hosts["app1"] = nil, false }, ""},
		{"nobody knows for whom", func(w *world) { w.fleet.Clients, w.ca(0).Records[0].Host = nil, "" }, "for whom it was issued is not known"},
		{"revoked", func(w *world) {
			w.fleet.Clients, w.ca(0).Revoked = nil, []pki.Revoked{{Serial: w.clientLeaf.SerialNumber}}
		}, ""},
		{"over", func(w *world) { w.fleet.Clients, w.ca(0).Records[0].Expires = nil, now }, ""},
		{"a canary", func(w *world) { w.fleet.Clients, w.ca(0).Records[0].Profile = nil, pki.ProfileCanary }, ""},
		{"kept and not in force", func(w *world) { w.app().Versions, w.app().Pair = []Pair{w.app().Pair}, Pair{} }, ""},
	} {
		w := newWorld(t)
		c.do(w)
		rows := Orphans(w.fleet)
		switch {
		case c.want == "" && len(rows) > 0:
			t.Errorf("%s: %+v", c.name, rows)
		case c.want != "" && (len(rows) != 1 || rows[0].State != Orphan || !strings.HasPrefix(rows[0].Findings[0].Reason, c.want) || rows[0].Path != "/ca/clients/issued/"+pki.FormatSerial(w.clientLeaf.SerialNumber)):
			t.Errorf("%s: %+v, want %q", c.name, rows, c.want)
		}
	}
}

// What a hint says can be pasted into a shell, whatever a path is called, and acts as the file's owner where root must not follow links.
func TestHintsAreSafe(t *testing.T) {
	w := newWorld(t)
	w.app().Key.Mode, w.app().Key.Path = 0o604, "/v/$(reboot)/it's.key"
	w.db().Key.Mode = 0o644
	w.db().Trust.Owner, w.db().Trust.Mode, w.db().Trust.Path = "root", 0o666, "/srv/ca.pem"
	want := map[string]string{"/v/$(reboot)/it's.key": `pgfleet exec -l app1 -u app -- chmod 600 '/v/$(reboot)/it'\''s.key'`,
		serverDir + "/v/2/server.key": "pgfleet exec -l db1 -- chmod 640 " + serverDir + "/v/2/server.key", "/srv/ca.pem": "on db1: chmod go-w"}
	for _, r := range Judge(w.fleet) {
		for _, f := range r.Findings {
			if f.State == WrongMode && f.Hint != want[r.Path] {
				t.Errorf("%s: %q, want %q", r.Path, f.Hint, want[r.Path])
			}
		}
	}
}

// Facts with nothing in them are no reason to end the program.
func TestEmptyFacts(t *testing.T) {
	rows := Judge(&Fleet{Servers: []Server{{}, {TLS: true}}, Clients: []Client{{}, {Named: true}}, Authorities: []Authority{{}, {Seen: true}, {External: true}}, Unseen: []Unseen{{}}})
	if len(rows) == 0 || len(Orphans(&Fleet{Authorities: []Authority{{}, {Seen: true, Records: []Record{{}}}}})) != 0 {
		t.Errorf("%+v", rows)
	}
}

// An intermediate's certificate that is due is renewed by pgfleet rotate, wherever it is; a root's is not: it has to be replaced.
func TestDueAuthority(t *testing.T) {
	for subject, c := range map[string]struct {
		after time.Duration
		hint  string
	}{"CN=servers": {4 * year, "pgfleet rotate"}, "CN=servers root": {8 * year, "pgfleet rotate-ca"}, "CN=clients": {8 * year, "pgfleet rotate-ca"}} {
		w := newWorld(t)
		due := 0
		for _, r := range Judge(w.fleet) {
			if r.Kind == KindAuthority && r.Subject == subject && strings.Contains(r.Renewal.Reason, "pgfleet rotate-ca") != strings.HasSuffix(c.hint, "-ca") {
				t.Errorf("%s %s: %s", r.Host, r.Path, r.Renewal.Reason)
			}
		}
		w.fleet.Now = now.Add(c.after)
		for _, r := range Judge(w.fleet) {
			for _, f := range r.Findings {
				if r.Kind == KindAuthority && r.Subject == subject && f.State == RenewSoon {
					if due++; !strings.HasSuffix(f.Hint, ": "+c.hint) {
						t.Errorf("%s %s: %s", r.Host, r.Path, f.Hint)
					}
				}
			}
		}
		if due < 2 { // on its own host, and where it is believed
			t.Errorf("%s is due in %d places", subject, due)
		}
	}
	// So is one that has ended, as long as the root above it lives.
	w := newWorld(t)
	w.fleet.Now = now.Add(6 * year)
	over := 0
	for _, r := range Judge(w.fleet) {
		for _, f := range r.Findings {
			if r.Kind == KindAuthority && r.Subject == "CN=servers" && f.State == Expired {
				if over++; !strings.HasSuffix(f.Hint, ": pgfleet rotate") {
					t.Errorf("%s %s: %s", r.Host, r.Path, f.Hint)
				}
			}
		}
	}
	if over < 2 {
		t.Errorf("it is over in %d places", over)
	}
}
