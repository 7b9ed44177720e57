package tasks

import (
	"crypto/x509"
	"errors"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"
)

// entry is one revoked certificate of a list, revoked some days before the world's now.
func (w *world) entry(serial int64, days int) x509.RevocationListEntry {
	return x509.RevocationListEntry{SerialNumber: big.NewInt(serial), RevocationTime: w.fleet.Now.Add(-time.Duration(days) * 24 * time.Hour)}
}

func (w *world) crl(profile string, certificates ...string) Task {
	return task(w.t, "crl", map[string]any{"profile": profile, "certificates": anyList(certificates)})
}

// badLists are lists that must not come into force after number 5 of clients, which names serial number 77.
var badLists = []struct {
	what string
	// make publishes the list.
	make  func(*world)
	words []string
}{
	{"a number that does not rise", func(w *world) { w.ca.publish(w.t, "clients", 4, w.entry(77, 1)) }, []string{"number 4", "5"}},
	{"an unexpired revoked certificate is missing", func(w *world) { w.ca.publish(w.t, "clients", 6) }, []string{"lacks the revoked certificate 4D"}},
	{"another authority's", func(w *world) { w.ca.lists["clients"] = w.ca.lists["servers"] }, []string{"does not belong to authority"}},
	{"it has ended", func(w *world) {
		w.ca.now = w.ca.now.Add(-400 * 24 * time.Hour)
		w.ca.publish(w.t, "clients", 6, w.entry(77, 1))
		w.ca.now = w.fleet.Now
	}, []string{"ended on"}},
	{"it begins later", func(w *world) {
		w.ca.now = w.ca.now.Add(48 * time.Hour)
		w.ca.publish(w.t, "clients", 6, w.entry(77, 1))
		w.ca.now = w.fleet.Now
	}, []string{"not valid before"}},
}

// Newer lists come into force where the files are now; whom the server believes does not change.
func TestCRLOnAServer(t *testing.T) {
	for name, trust := range map[string]map[string]any{"own": serverTrusts, "data": inData("clients")} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.startPostgres()
			w.must(w.server, w.crl("server", "clients:4D"), false) // nobody is believed yet
			w.must(w.server, w.trust(trust), true)
			w.reload()
			w.must(w.server, w.crl("server"), false)
			w.refused(w.server, w.crl("server", "clients:4D"), "does not name", "4D of authority clients")
			if _, err := w.check(w.server, w.crl("server", "clients:4D")); Unlisted(err) != "clients" || Unlisted(errors.Join(err, ErrRefused)) != "" {
				t.Errorf("the list that lacks it is of %q", Unlisted(err))
			}
			w.must(w.server, w.crl("server", "servers:4D"), false) // not for those whose authority it does not believe
			w.ca.publish(t, "clients", 5, w.entry(77, 1))
			change, err := w.check(w.server, w.crl("server", "clients:4D"))
			if err != nil || change == nil || change.Summary != "bring newer lists to cluster 15/main" {
				t.Fatalf("%+v, %v", change, err)
			}
			roots := w.sb.Shell("grep ssl_ca_file /etc/pgfleet/15-main/pgfleet.conf")
			w.must(w.server, w.crl("server", "clients:4D"), true)
			w.must(w.server, w.crl("server", "clients:4D"), false)
			w.must(w.server, w.trust(trust), false)
			if now := w.sb.Shell("grep ssl_ca_file /etc/pgfleet/15-main/pgfleet.conf"); now != roots {
				t.Errorf("%s became %s", roots, now)
			}
			w.reload()
			lists := w.sb.Shell(`sed -n "s/^ssl_crl_file = '\(.*\)'/\1/p" /etc/pgfleet/15-main/pgfleet.conf`)
			if got := w.listNumbers(lists); got != "01 05" {
				t.Errorf("numbers %s in %s", got, lists)
			}
			for _, bad := range badLists {
				t.Run(bad.what, func(t *testing.T) {
					good := w.ca.lists["clients"]
					bad.make(w)
					w.refused(w.server, w.crl("server"), bad.words...)
					w.refused(w.server, w.trust(trust), bad.words...)
					w.ca.lists["clients"] = good
				})
			}
			if got := w.listNumbers(lists); got != "01 05" {
				t.Errorf("what was refused has changed the lists: %s", got)
			}
			// What was revoked longer ago than certificates live has ended.
			w.ca.publish(t, "clients", 6, w.entry(77, 400))
			w.must(w.server, w.crl("server"), true)
			w.ca.publish(t, "clients", 7)
			w.must(w.server, w.crl("server"), true)
			// An authority that cannot be seen: its list in force stays, and is not enough where a revocation is to be seen.
			delete(w.ca.lists, "clients")
			w.must(w.server, w.crl("server"), false)
			w.refused(w.server, w.crl("server", "clients:4D"), "does not name")
			delete(w.ca.certs, "clients")
			w.must(w.server, w.crl("server"), false)
			if _, err := w.run(w.server, w.crl("server", "clients:4D")); !errors.Is(err, ErrPending) {
				t.Errorf("an authority that cannot be seen: %v", err)
			}
		})
	}
}

// Somebody who believes the authority of a revoked certificate without a list is named, not passed over.
func TestCRLWithoutLists(t *testing.T) {
	w := newWorld(t)
	w.startPostgres()
	off := maps.Clone(serverTrusts)
	off["crl"] = "no"
	w.must(w.server, w.trust(off), true)
	w.must(w.server, w.crl("server"), false)
	w.refused(w.server, w.crl("server", "clients:4D"), "goes on to accept", "crl: no")
	w.sb.Shell(`rm -r /etc/pgfleet; sed -i '/pgfleet/d' /etc/postgresql/15/main/postgresql.conf`)
	w.sb.WriteFile("/etc/postgresql/15/main/theirs.crt", string(rootsPEM(must(w.ca.Chain("clients")))), 0o644)
	w.sb.Shell(`chown postgres /etc/postgresql/15/main/theirs.crt; echo "ssl_ca_file = '/etc/postgresql/15/main/theirs.crt'" >>/etc/postgresql/15/main/postgresql.conf; pg_ctlcluster 15 main restart`)
	w.must(w.server, w.crl("server"), false)
	w.refused(w.server, w.crl("server", "clients:4D"), "goes on to accept", "theirs.crt is not pgfleet's")
}

// Clients get lists once a server's certificate has been revoked, in the order of W28, and keep them.
func TestCRLOnAClient(t *testing.T) {
	for name, trust := range map[string]map[string]any{"own": clientTrust, "home": inHome("servers")} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.serverSeen(5432)
			ours := maps.Clone(w.fleet.Authorities)
			for name, a := range ours {
				a.Host = "ca.example.net"
				ours[name] = a
			}
			w.fleet.Authorities = ours
			lists, other := homeBase+"root.crl", homeBase+"root.crl"
			if name == "home" {
				lists = homeLists
			}
			w.must(w.client, w.crl("client"), false) // nobody has set it up
			w.must(w.client, w.trust(trust), true)
			w.must(w.client, w.crl("client"), false)
			w.ca.publish(t, "servers", 5, w.entry(77, 1))
			w.must(w.client, w.crl("client", "servers:4D"), true)
			w.must(w.client, w.crl("client", "servers:4D"), false)
			w.must(w.client, w.trust(trust), false)
			for _, file := range []string{lists, other} {
				if got := w.listNumbers(file); got != "05 01" {
					t.Errorf("numbers %s in %s", got, file)
				}
			}
			if conf := w.sb.ReadFile("/home/app/.pg_service.conf"); !strings.Contains(conf, "sslcrl="+lists+"\n") {
				t.Error(conf)
			}
			for _, bad := range []int64{4, 6} { // lower, and without what is revoked
				w.ca.publish(t, "servers", bad)
				w.refused(w.client, w.crl("client"), "list of authority intermediate.example.net")
				w.refused(w.client, w.trust(trust), "list of authority intermediate.example.net")
			}
			// Lists in use stay, also when nothing is on them any more.
			w.ca.publish(t, "servers", 7, w.entry(77, 400))
			w.must(w.client, w.crl("client"), true)
			w.ca.publish(t, "servers", 8)
			w.must(w.client, w.trust(trust), true)
			w.must(w.client, w.crl("client"), false)
			if got := w.listNumbers(lists); got != "08 01" {
				t.Errorf("numbers %s", got)
			}
		})
	}
}

// With --check the list is not there yet.
func TestCRLInACheck(t *testing.T) {
	w := newWorld(t)
	w.startPostgres()
	w.must(w.server, w.trust(serverTrusts), true)
	ours := maps.Clone(w.fleet.Authorities)
	a := ours["clients"]
	a.Host = "ca.example.net"
	ours["clients"] = a
	w.fleet.Authorities, w.fleet.CheckOnly = ours, true
	ca := &Host{Name: "ca.example.net", View: &View{}, Fleet: w.fleet}
	w.fleet.Hosts[ca.Name] = ca
	ca.View.Plan(KeyAuthority("clients"))
	if _, err := w.check(w.server, w.crl("server", "clients:4D")); !errors.Is(err, ErrPending) {
		t.Errorf("want a list that is known after apply, got %v", err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
