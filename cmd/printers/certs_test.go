package printers

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/survey"
)

// certRows are one row of each kind, as survey.Judge would give them on 2026-06-01.
func certRows() []survey.Row {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	dated := func(r survey.Row, days int) survey.Row {
		from, to := now.AddDate(0, 0, days-365), now.AddDate(0, 0, days)
		r.NotBefore, r.NotAfter, r.DaysLeft = &from, &to, &days
		return r
	}
	found := func(r survey.Row, state survey.State, reason, hint string) survey.Row {
		r.State, r.Findings = state, append(r.Findings, survey.Finding{State: state, Reason: reason, Hint: hint})
		return r
	}
	server := survey.Row{Host: "db1.example.net", Role: "db_server", Holder: "15/main", InForce: true, State: survey.OK}
	client := survey.Row{Host: "app1.example.net", Role: "client", Holder: "orders of app", InForce: true, State: survey.OK}
	leaf, key, list, rules, old, due := server, server, server, server, server, client
	leaf.Kind, leaf.Path, leaf.Subject, leaf.Names = survey.KindCertificate, "/etc/pgfleet/15-main/v/20260601T120000Z/server.crt", "CN=db1.example.net", []string{"db1.example.net", "10.0.0.1"}
	leaf.Issuer, leaf.Serial, leaf.SHA256 = "CN=servers CA G1", "4A9F39E4DCCA335C2FAFDD57E59DF465", "AA:BB"
	leaf.Renewal = &survey.Renewal{At: now.AddDate(0, 4, 0), Reason: "two thirds of its life are over"}
	leaf.Cert = &x509.Certificate{SerialNumber: big.NewInt(0x4a9f), Subject: pkix.Name{CommonName: "db1.example.net"}, Issuer: pkix.Name{CommonName: "servers CA G1"},
		DNSNames: leaf.Names[:1], NotBefore: now, NotAfter: now.AddDate(1, 0, 0), PublicKey: ed25519.PublicKey{}}
	key.Kind, key.Path = survey.KindKey, "/etc/pgfleet/15-main/v/20260601T120000Z/server.key"
	list.Kind, list.Path, list.Issuer, list.Number = survey.KindList, "/etc/pgfleet/15-main/crl-8906b425e3b3a7c5.pem", "CN=clients CA G1", "3"
	list.List = &x509.RevocationList{RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(0x1f), RevocationTime: now, ReasonCode: 1}, {SerialNumber: big.NewInt(0x20), RevocationTime: now}}}
	rules.Kind, rules.Path = survey.KindRules, "/etc/postgresql/15/main/pg_hba.conf"
	old.Kind, old.Path, old.InForce, old.State = survey.KindKey, "/etc/pgfleet/15-main/v/20260101T120000Z/server.key", false, survey.NotInForce
	due.Kind, due.Path, due.Subject, due.Issuer, due.Serial = survey.KindCertificate, "/home/app/.postgresql/pgfleet/orders/v/20250801T120000Z/client.crt", "CN=ord\x1b[31mers", "CN=clients CA G1", "5C9DA51C81C2F3B3EF4CCA0D63E8EA0E"
	again := due
	again.Host, again.Path = "app2.example.net", strings.Replace(due.Path, "20250801", "20250802", 1)
	const run = "run the playbook: pgfleet run mtls -l "
	const over = "two thirds of its life are over (61 days left)"
	return []survey.Row{
		found(survey.Row{Host: "db2.example.net", Kind: survey.KindHost, Unreachable: true}, survey.Unlooked, "host unreachable: no connection within 10s", "is it on?"),
		dated(found(found(list, survey.RecordsDiffer, "it has number 3, authority clients has made 4 since; it lacks the revoked 21", run+"db1.example.net"),
			survey.Expired, "it ended on 2026-05-29: every client that shows a certificate is refused", run+"db1.example.net"), -3),
		found(rules, survey.RulesLost, "pgfleet's block is gone; stage cert was set", run+"db1.example.net"),
		dated(found(due, survey.RenewSoon, over, ""), 61), dated(found(again, survey.RenewSoon, over, ""), 61),
		dated(leaf, 300), key, old,
	}
}

func TestCerts(t *testing.T) {
	for name, opt := range map[string]CertsOptions{"wide": {}, "130": {Width: 130}, "80": {Width: 80}, "color": {Style: Style{Color: true}, Width: 100}} {
		var out bytes.Buffer
		Certs(&out, opt, certRows())
		golden(t, "testdata/certs."+name+".golden", out.Bytes())
		table, _, _ := strings.Cut(out.String(), "\n\n")
		for _, line := range strings.Split(table, "\n") {
			if n := len([]rune(line)); opt.Width > 0 && !opt.Style.Color && n > opt.Width {
				t.Errorf("%s: %d columns: %s", name, n, line)
			}
		}
	}
	var out bytes.Buffer
	if err := WriteJSON(&out, certRows()); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/certs.json.golden", out.Bytes())
	out.Reset()
	if err := CertsJSONL(&out, certRows()); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/certs.jsonl.golden", out.Bytes())
	out.Reset()
	CertsShow(&out, CertsOptions{Width: 80}, certRows())
	golden(t, "testdata/certs.show.golden", out.Bytes())
}

// However much is wrong, a terminal shows what is worst; -v shows all.
func TestManyReasons(t *testing.T) {
	row := certRows()[2]
	var rows []survey.Row
	for i := range 30 {
		r := row
		r.Findings = []survey.Finding{{State: survey.RulesLost, Reason: strings.Repeat("x", i+1)}}
		rows = append(rows, r)
	}
	count := func(opt CertsOptions) int {
		var out bytes.Buffer
		Certs(&out, opt, rows)
		if cut := strings.Contains(out.String(), "\n10 more; -v shows all\n"); cut == opt.Verbose {
			t.Errorf("verbose %v: %s", opt.Verbose, out.String())
		}
		return strings.Count(out.String(), "rules lost: ")
	}
	if few, all := count(CertsOptions{}), count(CertsOptions{Verbose: true}); few != 20 || all != 30 {
		t.Errorf("%d and %d reasons", few, all)
	}
}

// What is on no host, an authority's file here, is in the count, and on none of the hosts.
func TestCertsOnNoHost(t *testing.T) {
	var out bytes.Buffer
	Certs(&out, CertsOptions{}, []survey.Row{{Kind: survey.KindAuthority, Path: "ca.pem", State: survey.OK}, {Host: "db1", Kind: survey.KindKey, State: survey.OK}})
	if want := "2 certificates, keys and lists on 1 host: 2 ok\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("%q does not end with %q", out.String(), want)
	}
}

// A fleet without certificates, and one without orphans, say so.
func TestNoCerts(t *testing.T) {
	for want, opt := range map[string]CertsOptions{"\n0 certificates, keys and lists on 0 hosts\n": {}, "no orphans: what was issued and is good is where it should be\n": {Orphans: true}} {
		var out bytes.Buffer
		Certs(&out, opt, nil)
		if out.String() != want {
			t.Errorf("%q, want %q", out.String(), want)
		}
	}
}
