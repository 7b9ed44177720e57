package tasks

import (
	"crypto/rand"
	"crypto/x509"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// renew gives an authority a new certificate with its name and its key.
func (ca *goCA) renew(t *testing.T, name string) {
	t.Helper()
	ca.mu.Lock()
	defer ca.mu.Unlock()
	old, up := ca.certs[name], ca.issuers[name]
	ca.serial++
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(ca.serial), Subject: old.Subject, NotBefore: old.NotBefore, NotAfter: old.NotAfter.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: old.KeyUsage}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.certs[up], old.PublicKey, ca.keys[up])
	if err != nil {
		t.Fatal(err)
	}
	if ca.certs[name], err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
}

// only gives a task of a kind that renews, with further values.
func only(t *testing.T, kind string, values map[string]any, more ...any) Task {
	t.Helper()
	values = maps.Clone(values)
	values["only"] = "renew"
	for i := 0; i < len(more); i += 2 {
		values[more[i].(string)] = more[i+1]
	}
	return task(t, kind, values)
}

// serverFiles gives the paths that pgfleet.conf names, and the certificate's serial number, its key's digest, and how many certificates its file has.
func (w *world) serverFiles() (path, serial, key, chain string) {
	w.t.Helper()
	path = strings.TrimSpace(w.sb.Shell(`sed -n "s/^ssl_cert_file = '\(.*\)'/\1/p" /etc/pgfleet/15-main/pgfleet.conf`))
	serial = w.sb.Shell("openssl x509 -noout -serial -in " + path)
	key = w.sb.Shell("openssl x509 -noout -pubkey -in " + path)
	chain = w.sb.Shell("sed 1,/END/d " + path)
	return path, serial, key, chain
}

// TestRenewServer: what has no certificate is left alone; what has one is renewed where it is, and never so that somebody would not accept it any more.
func TestRenewServer(t *testing.T) {
	w := newWorld(t)
	w.startPostgres()
	w.must(w.server, only(t, "certificate", serverCertificate), false)
	w.refused(w.server, only(t, "certificate", serverCertificate, "force", "yes"), "no certificate of pgfleet's", "pgfleet run mtls")
	data := maps.Clone(serverCertificate)
	data["tls_dir"] = "data"
	w.must(w.server, task(t, "certificate", data), true)
	w.must(w.server, task(t, "trust", map[string]any{"authorities": []any{"clients"}, "profile": "server"}), true)
	path, serial, key, chain := w.serverFiles()
	if path != "/var/lib/postgresql/15/main/server.crt" {
		t.Fatalf("in force is %s", path)
	}
	w.must(w.server, only(t, "certificate", serverCertificate), false)

	// The authority above it is renewed, and the certificate stays, its file in its place; also where a run has made the new version and was stopped.
	w.ca.renew(t, "servers")
	w.cut = w.steps + 3
	if _, err := w.run(w.server, only(t, "certificate", serverCertificate, "new_key", "yes")); err == nil {
		t.Fatal("the cut did nothing")
	}
	w.cut = 0
	w.must(w.server, only(t, "certificate", serverCertificate, "new_key", "yes"), true)
	w.must(w.server, only(t, "certificate", serverCertificate), false)
	w.must(w.server, task(t, "certificate", data), false)
	path2, serial2, key2, chain2 := w.serverFiles()
	if path2 != path || serial2 != serial || key2 != key || chain2 == chain || !strings.Contains(chain2, strings.TrimSpace(string(pki.CertificatePEM(w.ca.certs["servers"])))) {
		t.Errorf("in force is %s, %s, %s; was %s, %s, %s; chain\n%s", path2, serial2, key2, path, serial, key, chain2)
	}
	if w.sb.Shell("openssl pkey -pubout -in /var/lib/postgresql/15/main/server.key") != key {
		t.Error("another key than the certificate's")
	}

	// So do those who believe a renewed authority, in the file where it is; nobody else.
	believed := w.sb.Shell("cat /etc/pgfleet/15-main/trust-*.pem")
	trust := map[string]any{"authorities": []any{"clients"}, "profile": "server"}
	w.must(w.server, only(t, "trust", trust), false)
	w.ca.renew(t, "clients")
	w.must(w.server, only(t, "trust", map[string]any{"authorities": []any{"servers"}, "profile": "server"}), false)
	w.must(w.server, only(t, "trust", trust), true)
	w.must(w.server, only(t, "trust", trust), false)
	if now := w.sb.ReadFile(strings.TrimSpace(w.sb.Shell(`sed -n "s/^ssl_ca_file = '\(.*\)'/\1/p" /etc/pgfleet/15-main/pgfleet.conf`))); now == believed ||
		now != string(pki.CertificatePEM(w.ca.certs["clients_root"], w.ca.certs["clients"])) {
		t.Errorf("believed was\n%s\nand is\n%s", believed, now)
	}
	// A repair brings it too: before the server reloads for something else, since the list beside the old one may have ended.
	w.ca.renew(t, "clients")
	w.must(w.server, having(t, "trust", map[string]any{"authorities": []any{"servers"}, "profile": "server"}, "only", "repair"), false)
	w.must(w.server, having(t, "trust", trust, "only", "repair"), true)
	w.must(w.server, having(t, "trust", trust, "only", "repair"), false)
	w.must(w.server, task(t, "trust", trust), false)

	// Another root, and a name less, would not be accepted by everybody.
	w.refused(w.server, only(t, "certificate", map[string]any{"issuer": "clients", "profile": "server"}), "another root, root-ca1")
	w.server.Names = []string{"more.example.net"}
	w.must(w.server, only(t, "certificate", serverCertificate), true)
	w.server.Names = nil
	w.refused(w.server, only(t, "certificate", serverCertificate), "would lose the names more.example.net")
	w.must(w.server, task(t, "certificate", data), true)
	force := only(t, "certificate", serverCertificate, "force", "yes")
	w.must(w.server, force, true)
	w.must(w.server, force, false)
	if path, _, key3, _ := w.serverFiles(); path != path2 || key3 != key {
		t.Errorf("forced, in force is %s with key %s", path, key3)
	}

	// A key is on record as its host's: with another name of the host comes another key.
	w.server.Name = "db9.example.net"
	w.must(w.server, task(t, "certificate", data), true)
	w.must(w.server, task(t, "certificate", data), false)
	if _, _, key4, _ := w.serverFiles(); key4 == key {
		t.Error("a renamed server keeps the key that is on record as another's")
	}
	w.sb.Shell("pg_ctlcluster 15 main restart")
}

// TestRenewClient: the same for an identity whose files are in ~/.postgresql.
func TestRenewClient(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5433)
	w.must(w.client, only(t, "certificate", clientCertificate), false)
	w.must(w.client, only(t, "trust", clientTrust), false)
	w.refused(w.client, only(t, "certificate", clientCertificate, "force", "yes"), "no certificate of pgfleet's")
	home := map[string]any{"tls_dir": "home"}
	trust, cert := maps.Clone(clientTrust), maps.Clone(clientCertificate)
	maps.Copy(trust, home)
	maps.Copy(cert, home)
	trust["crl"], cert["valid_for"] = "yes", "2h"
	w.must(w.client, task(t, "trust", trust), true)
	w.must(w.client, task(t, "certificate", cert), true)
	services := w.sb.ReadFile("/home/app/.pg_service.conf")
	files := func() string {
		return w.sb.Shell("cd /home/app/.postgresql; cat ca.crt ca.crl; openssl x509 -noout -serial -in client.crt")
	}
	before := files()
	for _, kind := range []string{"trust", "certificate"} {
		w.must(w.client, only(t, kind, map[string]map[string]any{"trust": clientTrust, "certificate": clientCertificate}[kind]), false)
	}
	w.ca.renew(t, "servers")
	w.ca.renew(t, "clients")
	w.must(w.client, only(t, "trust", clientTrust), true)
	w.must(w.client, only(t, "trust", clientTrust), false)
	w.must(w.client, task(t, "trust", trust), false)
	w.must(w.client, only(t, "certificate", clientCertificate), true)
	w.must(w.client, task(t, "certificate", cert), false)
	if after := files(); after == before || !strings.Contains(after, string(pki.CertificatePEM(w.ca.certs["servers"]))) ||
		after[strings.LastIndex(after, "serial="):] != before[strings.LastIndex(before, "serial="):] {
		t.Errorf("files were\n%s\nand are\n%s", before, after)
	}
	if now := w.sb.ReadFile("/home/app/.pg_service.conf"); now != services {
		t.Errorf("services were\n%s\nand are\n%s", services, now)
	}
	if !strings.Contains(w.sb.Shell("sed 1,/END/d /home/app/.postgresql/client.crt"), strings.TrimSpace(string(pki.CertificatePEM(w.ca.certs["clients"])))) {
		t.Error("the client shows the old authority")
	}
	w.fleet.Now = w.fleet.Now.Add(80 * time.Minute)
	c, err := w.check(w.client, only(t, "certificate", clientCertificate))
	if err != nil || c == nil || !strings.Contains(c.Summary, "two thirds of its life are over") {
		t.Fatalf("after two thirds of its life: %+v, %v", c, err)
	}
	w.must(w.client, only(t, "certificate", clientCertificate), true)
	w.must(w.client, only(t, "certificate", clientCertificate), false)
}
