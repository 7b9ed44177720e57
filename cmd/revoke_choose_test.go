package cmd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

const revokeInventory = `
hosts:
  ca1.example.net: {roles: [root_ca]}
  ca3.example.net: {roles: [intermediate_ca]}
  db1.example.net: {roles: [db_server]}
  db2.example.net: {roles: [db_server], identities: {postgres: [{user: repl, replication: true, allow_privileged: true}]}}
  app1.example.net: {roles: [client], identities: {postgres: [dbuser1, "o'br\"ien x"], ops: [dbuser1]}}
  app2.example.net: {roles: [client], identities: {postgres: [dbuser1]}}
authorities:
  clients:      {host: ca1.example.net, subject: "CN=root-ca1"}
  servers_root: {host: ca1.example.net, subject: "CN=root-ca2"}
  servers:      {host: ca3.example.net, issuer: servers_root, subject: "CN=intermediate"}
  theirs:       {external: ca.pem}
`

// now is a time at which the records are looked at.
var now = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

// records are what the authorities have issued: serial number, profile, host, subject, days to go, revoked.
func testRecords(t *testing.T) []authorityRecords {
	t.Helper()
	issued := func(authority string, serial int64, profile pki.Profile, host, subject string, days int, revoked bool) tasks.Issued {
		i := tasks.Issued{Authority: authority, Serial: big.NewInt(serial), Profile: profile, Host: host, Subject: subject, Expires: now.AddDate(0, 0, days)}
		if revoked {
			i.Revoked = &pki.Revoked{Serial: i.Serial, At: now.AddDate(0, 0, -1), Reason: 1}
		}
		return i
	}
	ca := func(serial int64) *x509.Certificate { return &x509.Certificate{SerialNumber: big.NewInt(serial)} }
	return []authorityRecords{
		{name: "clients", cert: ca(1), issued: []tasks.Issued{
			issued("clients", 0x10, "canary", "nobody", "/CN=pgfleet-canary-clients", 900, false),
			issued("clients", 0x11, "client", "app1.example.net", "/CN=dbuser1", -1, false),
			issued("clients", 0x12, "client", "app1.example.net", "/CN=dbuser1", 100, true),
			issued("clients", 0x13, "client", "app1.example.net", "/CN=dbuser1", 200, false),
			issued("clients", 0x14, "client", "app2.example.net", "/CN=dbuser1", 200, false),
			issued("clients", 0x15, "client", "app1.example.net", `/CN=o'br"ien x`, 200, false),
			issued("clients", 0x16, "client", "gone.example.net", "/CN=dbuser9", 200, true),
			issued("clients", 0x17, "imported", "", "/C=DE/O=Acme/CN=by hand/emailAddress=x", 200, false),
			issued("clients", 4711, "client", "app1.example.net", "/CN=decimal", 200, false),
			issued("clients", 0x19, "client", "db2.example.net", "/CN=both", 200, false),
		}},
		{name: "servers_root", cert: ca(2), issued: []tasks.Issued{
			issued("servers_root", 3, "ca", "ca3.example.net", "/CN=intermediate", 900, false),
			issued("servers_root", 0x2F, "ca", "ca3.example.net", "/CN=intermediate old", 900, false),
		}},
		{name: "servers", cert: ca(3), issued: []tasks.Issued{
			issued("servers", 0x13, "server", "db1.example.net", "/CN=db1.example.net", 200, false),
			issued("servers", 0x18, "server", "db1.example.net", "", 300, false),
			issued("servers", 0x1A, "server", "db2.example.net", "/CN=both", 200, false),
		}},
	}
}

// TestRevokeChoice: which certificates are meant, or why none is: the error lists the candidates.
func TestRevokeChoice(t *testing.T) {
	inv, err := inventory.Parse("inventory.yaml", []byte(revokeInventory), inventory.Options{SSHConfig: "none"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		choice revokeChoice
		want   string
		// wrong: parts of the error.
		wrong []string
	}{
		"a host":                          {choice: revokeChoice{host: "app1"}, want: "clients:13 clients:15 clients:1267"},
		"a host with a server":            {choice: revokeChoice{host: "db1.example.net"}, want: "servers:13 servers:18"},
		"a pattern":                       {choice: revokeChoice{host: "app*", name: "dbuser1", all: true}, want: "clients:13 clients:14"},
		"a pattern, not said to be meant": {choice: revokeChoice{host: "client"}, wrong: []string{"several holders", "clients:13", "clients:14", "clients:15", "--all"}},
		"a host and a name":               {choice: revokeChoice{host: "app1", name: "dbuser1"}, want: "clients:13"},
		"a name of one holder":            {choice: revokeChoice{name: `o'br"ien x`}, want: "clients:15"},
		"a name of several holders":       {choice: revokeChoice{name: "dbuser1"}, wrong: []string{"several holders", "clients:13  client  /CN=dbuser1  on app1.example.net", "clients:14", "--all"}},
		"a name at two authorities":       {choice: revokeChoice{name: "both"}, wrong: []string{"several holders", "clients:19", "servers:1A", "--authority"}},
		"a name at one of them":           {choice: revokeChoice{name: "both", authority: "servers"}, want: "servers:1A"},
		"all of a name":                   {choice: revokeChoice{name: "dbuser1", all: true}, want: "clients:13 clients:14"},
		"part of a name":                  {choice: revokeChoice{name: "dbuser"}, wrong: []string{"no such certificate"}},
		"a name among other attributes":   {choice: revokeChoice{name: "by hand"}, want: "clients:17"},
		"revoked already":                 {choice: revokeChoice{name: "dbuser9"}, want: "clients:16"},
		"a host that is gone":             {choice: revokeChoice{host: "gone.example.net"}, want: "clients:16"},
		"a host that was never":           {choice: revokeChoice{host: "app3.example.net"}, wrong: []string{"no such certificate is on record at clients, servers_root, servers", "did you mean app1.example.net"}},
		"not on a host":                   {choice: revokeChoice{host: "app2", name: "dbuser8"}, wrong: []string{"no such certificate", "as they are in the certificate"}},
		"no such serial number":           {choice: revokeChoice{serial: "4712"}, wrong: []string{"no such certificate", "in decimal digits"}},
		"an authority's host":             {choice: revokeChoice{host: "ca3.example.net"}, wrong: []string{"no such certificate"}},
		"a test certificate by name":      {choice: revokeChoice{name: "pgfleet-canary-clients"}, wrong: []string{"no such certificate"}},
		"a serial number":                 {choice: revokeChoice{serial: "0x18"}, want: "servers:18"},
		"a decimal serial number":         {choice: revokeChoice{serial: "4711"}, want: "clients:1267"},
		"a serial number of two":          {choice: revokeChoice{serial: "13"}, wrong: []string{"several certificates have this serial number", "clients:13", "servers:13", "--authority"}},
		"one of the two":                  {choice: revokeChoice{serial: "13", authority: "servers"}, want: "servers:13"},
		"a serial number revoked before":  {choice: revokeChoice{serial: "12"}, want: "clients:12"},
		"a serial number that has ended":  {choice: revokeChoice{serial: "11"}, wrong: []string{"have ended"}},
		"a test certificate":              {choice: revokeChoice{serial: "10"}, wrong: []string{"test certificate"}},
		"an authority in use":             {choice: revokeChoice{serial: "3"}, wrong: []string{"certificate of authority servers"}},
		"an authority of before":          {choice: revokeChoice{serial: "2F"}, want: "servers_root:2F"},
		"no serial number":                {choice: revokeChoice{serial: "xyz"}, wrong: []string{"is no serial number"}},
		"nothing":                         {choice: revokeChoice{authority: "clients"}, wrong: []string{"--host, --name, --serial or --file"}},
		"in two ways":                     {choice: revokeChoice{serial: "12", host: "app1"}, wrong: []string{"one certificate each"}},
		"all of nothing":                  {choice: revokeChoice{serial: "12", all: true}, wrong: []string{"--all goes with --host and --name"}},
		"no such authority":               {choice: revokeChoice{name: "dbuser1", authority: "client"}, wrong: []string{"no authority \"client\"; did you mean clients?"}},
		"an authority of others":          {choice: revokeChoice{name: "dbuser1", authority: "theirs"}, wrong: []string{"no such certificate is on record"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := "", c.choice.check()
			if err == nil {
				err = c.choice.resolve(inv)
			}
			if err == nil {
				var chosen []tasks.Issued
				chosen, err = c.choice.choose(testRecords(t), now)
				got = certificates(chosen)
			}
			if len(c.wrong) == 0 && err != nil || got != c.want {
				t.Fatalf("got %q, %v; want %q", got, err, c.want)
			}
			if len(c.wrong) > 0 && exitCode(err) != exitUsage {
				t.Errorf("%v: exit %d, want %d", err, exitCode(err), exitUsage)
			}
			if name == "not on a host" && strings.Contains(err.Error(), "did you mean") {
				t.Errorf("somebody else is named: %v", err)
			}
			for _, part := range c.wrong {
				if err == nil || !strings.Contains(err.Error()+hintOf(err), part) {
					t.Errorf("no %q in %v", part, err)
				}
			}
		})
	}
}

// An authority that has nothing at all on record has probably lost its records: what makes them again is said, and it is not the user's mistake.
func TestRevokeWithoutRecords(t *testing.T) {
	records := testRecords(t)
	records[0].issued, records[0].held = nil, true
	choice := revokeChoice{serial: "13", authority: "clients"}
	if err := choice.check(); err != nil {
		t.Fatal(err)
	}
	_, err := choice.choose(records[:1], now)
	if exitCode(err) != exitFailed || !strings.Contains(hintOf(err), "pgfleet authority restore --records clients") {
		t.Errorf("exit code %d: %v, hint %q", exitCode(err), err, hintOf(err))
	}
}

func certificates(chosen []tasks.Issued) string {
	var out []string
	for _, i := range chosen {
		out = append(out, i.Certificate())
	}
	return strings.Join(out, " ")
}

// A file means the certificate that its authority has signed, not another one with its serial number.
func TestRevokeChoiceByFile(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	make := func(serial int64, issuer *x509.Certificate) *x509.Certificate {
		tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "root-ca1"}, NotBefore: now, NotAfter: now.AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true}
		if issuer == nil {
			issuer = tmpl
		}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, issuer, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	records := testRecords(t)
	records[0].cert = make(1, nil)
	leaf := make(0x13, records[0].cert)
	choice := revokeChoice{cert: leaf}
	if chosen, err := choice.choose(records, now); err != nil || certificates(chosen) != "clients:13" {
		t.Errorf("got %s, %v", certificates(chosen), err)
	}
	choice.cert = records[0].cert
	if _, err := choice.choose(records, now); err == nil || !strings.Contains(err.Error()+hintOf(err), "is that of CN=root-ca1 itself, a root") || !strings.Contains(hintOf(err), "rotate-ca") {
		t.Errorf("a root: %v", err)
	}
	key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	choice.cert = make(0x13, &x509.Certificate{RawSubject: records[0].cert.RawSubject})
	if _, err := choice.choose(records, now); err == nil || !strings.Contains(err.Error(), "issued by CN=root-ca1") {
		t.Errorf("signed by another key: %v", err)
	}
}

// TestRevokePlan: who is told to refuse a certificate, whose sessions end, whose rules and files go.
func TestRevokePlan(t *testing.T) {
	inv, err := inventory.Parse("inventory.yaml", []byte(revokeInventory), inventory.Options{SSHConfig: "none"})
	if err != nil {
		t.Fatal(err)
	}
	records := testRecords(t)
	client, server, byHand := records[0].issued[3], records[2].issued[0], records[0].issued[7]
	const onServers, onClients, sessions = "crl certificates=clients:13 profile=server", "crl certificates=clients:13 profile=client", "postgres_sessions certificates="
	for name, c := range map[string]struct {
		o          revokeOptions
		chosen     tasks.Issued
		has, lacks []string
	}{
		"a client's":       {revokeOptions{}, client, []string{"revoke certificates=clients:13 ", "reason=superseded", onServers, sessions + `""`}, []string{"profile=client"}},
		"its sessions":     {revokeOptions{terminate: true}, client, []string{onServers, sessions + "clients:13"}, []string{"profile=client"}},
		"it is offboarded": {revokeOptions{offboard: true}, client, []string{onServers, onClients, sessions + "clients:13", "offboard identities=app1.example.net/dbuser1 profile=server", "offboard identities=app1.example.net/dbuser1 profile=client"}, nil},
		"a server's":       {revokeOptions{}, server, []string{"revoke certificates=servers:13 ", "crl certificates=servers:13 profile=client"}, []string{"profile=server", "postgres_sessions"}},
		"made by hand":     {revokeOptions{}, byHand, []string{"crl certificates=clients:17 profile=server", "crl certificates=clients:17 profile=client"}, nil},
	} {
		c.o.reason = "superseded"
		plan, err := c.o.plan(inv, []tasks.Issued{c.chosen})
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range c.has {
			if !strings.Contains(plan.String(), part) {
				t.Errorf("%s: no %q in\n%s", name, part, plan)
			}
		}
		for _, part := range c.lacks {
			if strings.Contains(plan.String(), part) {
				t.Errorf("%s: %q in\n%s", name, part, plan)
			}
		}
	}
}

// TestRevokeNotes: who still accepts a certificate, and what its holder gets.
func TestRevokeNotes(t *testing.T) {
	inv, err := inventory.Parse("inventory.yaml", []byte(revokeInventory), inventory.Options{SSHConfig: "none"})
	if err != nil {
		t.Fatal(err)
	}
	records := testRecords(t)
	client, server, gone := records[0].issued[3], records[2].issued[0], records[0].issued[6]
	newer, older := client, client
	newer.Serial, newer.Expires, older.Expires = big.NewInt(0x20), newer.Expires.Add(time.Hour), older.Expires.Add(-time.Hour)
	for want, chosen := range map[int][]tasks.Issued{1: {client}, 0: {client, server}} {
		both := append(testRecords(t), authorityRecords{name: "clients", issued: []tasks.Issued{newer, gone, client}})
		if got := besides(both, chosen, now); len(got) != want || want > 0 && got[0].Certificate() != newer.Certificate() {
			t.Errorf("beside %s: %s", certificates(chosen), certificates(got))
		}
	}
	standby := tasks.Issued{Authority: "clients", Serial: big.NewInt(0x21), Profile: pki.ProfileClient, Host: "db2.example.net", Subject: "/CN=repl", Expires: now.AddDate(1, 0, 0)}
	stolen, before := records[0].issued[2], records[0].issued[2]
	before.Revoked = &pki.Revoked{Serial: before.Serial, At: now, Reason: 0}
	outcome := &playbooks.Outcome{Hosts: map[string]playbooks.HostResult{"db1.example.net": {Kind: events.Unreachable}, "db2.example.net": {Kind: events.Changed},
		"app1.example.net": {Kind: events.Failed}, "app2.example.net": {Kind: events.OK}}}
	for name, c := range map[string]struct {
		o      revokeOptions
		chosen tasks.Issued
		want   []string
		others []tasks.Issued
	}{
		"a client's":      {revokeOptions{}, client, []string{"still accepted at db1.example.net (unreachable): pgfleet run crl", "sessions that are open go on", "app1.example.net: new certificates, from the same key"}, nil},
		"known to others": {revokeOptions{reason: "keyCompromise", terminate: true}, client, []string{"--terminate, with each number above", "from a new key"}, nil},
		"known before":    {revokeOptions{terminate: true}, stolen, []string{"still accepted", "from a new key"}, nil},
		"known too late":  {revokeOptions{reason: "keyCompromise", terminate: true}, before, []string{"still accepted", "from the same key", "pgfleet rotate --force --new-key -l 'app1.example.net'"}, nil},
		"a server's":      {revokeOptions{}, server, []string{"still accepted at app1.example.net (failed)", "db1.example.net: new certificates"}, nil},
		"offboarded":      {revokeOptions{offboard: true}, client, []string{"still accepted at db1", "take what was offboarded at app1.example.net out of the inventory"}, nil},
		"a standby's":     {revokeOptions{terminate: true}, standby, []string{"still accepted at db1", "where db2.example.net streams from a primary", "new certificates"}, nil},
		"gone":            {revokeOptions{offboard: true}, gone, []string{"still accepted at db1", "not in the inventory: /CN=dbuser9 on gone.example.net"}, nil},
		"of before":       {revokeOptions{}, client, []string{"still accepted at db1", "sessions that are open go on"}, []tasks.Issued{newer}},
		"stolen before":   {revokeOptions{reason: "keyCompromise", terminate: true}, client, []string{"still accepted at db1", "still good, of the same holder and maybe from the same key: clients:20; --host"}, []tasks.Issued{newer}},
		"and renewed":     {revokeOptions{reason: "keyCompromise", terminate: true}, client, []string{"still accepted at db1", "still good", "from a new key"}, []tasks.Issued{older}},
	} {
		got := c.o.notes(inv, []tasks.Issued{c.chosen}, c.others, outcome)
		for i, part := range c.want {
			if len(got) != len(c.want) || !strings.Contains(got[i], part) {
				t.Errorf("%s: got %q, want %q", name, got, c.want)
				break
			}
		}
	}
	outcome.Hosts["ca1.example.net"] = playbooks.HostResult{Kind: events.Failed}
	for _, c := range []struct {
		o      revokeOptions
		chosen []tasks.Issued
		want   []string
	}{
		{revokeOptions{}, []tasks.Issued{client}, []string{"not revoked, still accepted everywhere: clients:13: the authority's host ca1.example.net (failed)"}},
		{revokeOptions{}, []tasks.Issued{client, server}, []string{"not revoked, still accepted everywhere: clients:13: ", "still accepted at app1.example.net (failed)", "db1.example.net: new certificates"}},
		{revokeOptions{offboard: true}, []tasks.Issued{client}, []string{"not revoked", "take what was offboarded at app1.example.net out of the inventory"}},
		{revokeOptions{terminate: true}, []tasks.Issued{gone}, []string{"still accepted at db1"}},
	} {
		got := c.o.notes(inv, c.chosen, nil, outcome)
		if len(got) != len(c.want) || !slices.EqualFunc(got, c.want, strings.Contains) {
			t.Errorf("the authority's host has failed: got %q, want %q", got, c.want)
		}
	}
	if got := identitiesOf(inv, []tasks.Issued{client, records[0].issued[5], server, gone}); !slices.Equal(got, []any{"app1.example.net/dbuser1", `app1.example.net/o'br"ien x`}) {
		t.Errorf("identities %q", got)
	}
	if _, err := (&revokeOptions{reason: "keyCompromise", offboard: true}).plan(inv, []tasks.Issued{client, server}); err != nil {
		t.Error(err)
	}
	if _, err := (&revokeOptions{reason: "boredom"}).plan(inv, []tasks.Issued{client}); err == nil || errors.As(err, new(*usageError)) {
		t.Errorf("a reason that the kind does not know: %v", err)
	}
}
