package tasks

import (
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// Lists on a client that believes others beside ours, in libpq's default files: without one of theirs, it would reach none of their servers any more.
func TestTrustTheirsWithoutList(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5432)
	w.client.Identities = []Identity{{OSUser: "app", DBUser: "dbuser1", Default: true}}
	w.sb.Shell(`cd /home/app && su app -c 'mkdir -p .postgresql && openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=house -keyout /dev/null -out .postgresql/root.crt 2>/dev/null'`)
	trust := func(crl any) Task {
		return task(t, "trust", map[string]any{"authorities": []any{"servers"}, "crl": crl, "existing": "overlap"})
	}
	w.must(w.client, trust(false), true)
	w.refused(w.client, trust(true), "no list of revoked certificates is known of house", "declare that authority in the inventory")
	w.must(w.client, trust(false), false)
}

// Authorities of others that stay beside ours: each with a list that is valid, where lists are in use, or nobody below it would be let in.
func TestOverlap(t *testing.T) {
	t.Parallel()
	ours, theirs := newTestCA(t, "ours"), newTestCA(t, "theirs")
	both := []*x509.Certificate{ours.cert, theirs.cert}
	roots, list := pki.CertificatePEM(theirs.cert), pki.CRLPEM(theirs.list)
	now := time.Now()
	for name, c := range map[string]struct {
		a            anchors
		roots, lists []byte
		now          time.Time
		certs, crls  int
		wrong        string
	}{
		"theirs with its list":   {anchors{certs: both[:1], lists: []*x509.RevocationList{ours.list}}, roots, list, now, 2, 2, ""},
		"a list that has ended":  {anchors{certs: both[:1], lists: []*x509.RevocationList{ours.list}}, roots, list, now.Add(2 * time.Hour), 0, 0, "whose list of revoked certificates ended on"},
		"no list":                {anchors{certs: both[:1], lists: []*x509.RevocationList{ours.list}}, roots, nil, now, 0, 0, "of which no list of revoked certificates is in force"},
		"another's list":         {anchors{certs: both[:1], lists: []*x509.RevocationList{ours.list}}, roots, pki.CRLPEM(ours.list), now, 0, 0, "of which no list of revoked certificates is in force"},
		"without lists":          {anchors{certs: both[:1]}, roots, nil, now, 2, 0, ""},
		"to be believed no more": {anchors{certs: both[:1], lists: []*x509.RevocationList{ours.list}, gone: both[1:]}, roots, list, now, 1, 1, ""},
		"ours":                   {anchors{certs: both[:1], lists: []*x509.RevocationList{ours.list}}, pki.CertificatePEM(ours.cert), nil, now, 1, 1, ""},
		"nobody is believed":     {anchors{certs: both[:1], lists: []*x509.RevocationList{ours.list}}, nil, nil, now, 1, 1, ""},
		"what cannot be read":    {anchors{certs: both[:1]}, []byte("nothing"), nil, now, 0, 0, "cannot be read"},
	} {
		certs, crls, err := c.a.overlap(&Cluster{ID: "15/main", Now: c.now}, c.roots, c.lists)
		if (err == nil) != (c.wrong == "") || err != nil && !(errors.Is(err, ErrRefused) && strings.Contains(err.Error(), c.wrong)) || len(certs) != c.certs || len(crls) != c.crls {
			t.Errorf("%s: %d authorities with %d lists, %v", name, len(certs), len(crls), err)
		}
	}
}

// The file in which others go on to keep their lists, though our settings name ours: its newer ones count, and it is not written over.
func TestTheirLists(t *testing.T) {
	t.Parallel()
	theirs := newTestCA(t, "theirs")
	newer := theirs.crl(t, 2, theirs.good)
	c := &Cluster{ID: "15/main", DataDir: "/d", Dir: "/etc/pgfleet/15-main", Files: map[string]HostFile{"/d/house.crl": {Bytes: pki.CRLPEM(newer)}},
		Lines: []FileLine{{File: "/d/postgresql.conf", Name: "ssl_crl_file", Value: "older.crl"}, {File: "/d/postgresql.conf", Name: "ssl_crl_file", Value: "house.crl"},
			{File: "/etc/pgfleet/15-main/pgfleet.conf", Name: "ssl_crl_file", Value: "/d/ca.crl"}}}
	now := time.Now()
	for what, at := range map[string]struct {
		time.Time
		number int64
	}{"valid": {now, 2}, "not yet": {now.Add(-2 * time.Hour), 1}, "over": {now.Add(2 * time.Hour), 1}, "over in a moment": {now.Add(time.Hour - 30*time.Second), 1}} {
		c.Now = at.Time
		if got := listOf(c.withTheirLists(pki.CRLPEM(theirs.list)), theirs.cert); got == nil || got.Number.Int64() != at.number {
			t.Errorf("%s: %v counts, want number %d", what, got, at.number)
		}
	}
	h := &Host{Name: "db1", Fleet: &Fleet{}}
	for file, refused := range map[string]bool{"house.crt": true, "older.crt": false, "": false} {
		if err := (&trustTask{TLSDir: "data", File: file}).refuseTheirPlace(h, c); errors.Is(err, ErrRefused) != refused {
			t.Errorf("our lists beside %q: %v", file, err)
		}
	}
}

// Whoever is to believe others alone would refuse the clients whose certificates are ours, unless theirs has our key, or there is none who uses it.
func TestKeepOthersAlone(t *testing.T) {
	t.Parallel()
	ours, theirs := newTestCA(t, "ours"), newTestCA(t, "theirs")
	app := &Host{Name: "app1", Servers: []string{"db1"}}
	h := &Host{Name: "db1", Fleet: &Fleet{Hosts: map[string]*Host{"app1": app}}}
	c := &Cluster{ID: "15/main", Dir: "/etc/pgfleet/15-main", Settings: map[string]Setting{"ssl_ca_file": {Value: "/house.pem"}}}
	for name, s := range map[string]struct {
		theirs  []*x509.Certificate
		servers []string
		refused bool
	}{
		"theirs alone":   {[]*x509.Certificate{theirs.cert}, []string{"db1"}, true},
		"both":           {[]*x509.Certificate{theirs.cert, ours.cert}, []string{"db1"}, false},
		"used by nobody": {[]*x509.Certificate{theirs.cert}, []string{"db2"}, false},
	} {
		c.Files, app.Servers = map[string]HostFile{"/house.pem": {Bytes: pki.CertificatePEM(s.theirs...)}}, s.servers
		err := (&anchors{certs: []*x509.Certificate{ours.cert}}).refuseKeep(h, c)
		if errors.Is(err, ErrRefused) != s.refused || err != nil && !strings.Contains(err.Error(), "certificates of its clients (app1)") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
