package tasks

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"github.com/pgfleet/pgfleet/transport"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// What arrives while a batch is in flight forms the next one; every certificate is on its own record and serial number.
func TestIssueInParallel(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()[:1]...)
	w.mustRun("a")
	before := w.calls
	const n = 100
	serials := make([]string, n)
	requests := make([][]byte, n)
	for i := range requests {
		requests[i], _ = csr(t)
	}
	began := time.Now()
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			cert, err := w.fleet.CA.Issue(context.Background(), "clients", IssueRequest{CSR: requests[i], Template: client(fmt.Sprintf("user%d", i)), Host: "e"})
			if err != nil {
				t.Error(err)
				return
			}
			if want := fmt.Sprintf("user%d", i); cert.Subject.CommonName != want {
				t.Errorf("asked for %s, got %s", want, cert.Subject.CommonName)
			}
			serials[i] = pki.FormatSerial(cert.SerialNumber)
		})
	}
	wait.Wait()
	t.Logf("%d certificates in %d calls, %s", n, w.calls-before, time.Since(began))
	if calls := w.calls - before; calls > 4 {
		t.Errorf("%d certificates took %d calls", n, calls)
	}
	seen := map[string]bool{}
	for _, s := range serials {
		if seen[s] {
			t.Errorf("serial number %s was given twice", s)
		}
		seen[s] = true
		if _, err := os.Stat(w.path("clients", "issued", s)); err != nil {
			t.Error(err)
		}
	}
	if changed, err := w.run("a"); changed || err != nil {
		t.Errorf("a run after that changes something (%v) or fails: %v", changed, err)
	}
}

// issue has authority clients sign a request.
func (w *caWorld) issue(request []byte, t pki.Template, host string, fresh bool) (*x509.Certificate, error) {
	return w.fleet.CA.Issue(context.Background(), "clients", IssueRequest{CSR: request, Template: t, Host: host, Fresh: fresh})
}

func TestSameRequestGetsSameCertificate(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()[:1]...)
	w.mustRun("a")
	request, _ := csr(t)
	first, err := w.issue(request, client("dbuser1"), "e", false)
	if err != nil {
		t.Fatal(err)
	}
	other := client("dbuser1")
	other.ValidFor -= 24 * time.Hour
	for _, c := range []struct {
		name     string
		template pki.Template
		fresh    bool
		same     bool
	}{
		{"repeated", client("dbuser1"), false, true},
		{"another life", other, false, false},
		{"another name", client("dbuser2"), false, false},
		{"fresh", client("dbuser1"), true, false},
	} {
		again, err := w.issue(request, c.template, "e", c.fresh)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if again.Equal(first) != c.same {
			t.Errorf("%s: the same certificate: %v, wanted %v", c.name, again.Equal(first), c.same)
		}
	}
	// What only speeds up is lost: it comes back from the records.
	for _, folder := range []string{"requests", "holders"} {
		if err := os.RemoveAll(w.path("clients", folder)); err != nil {
			t.Fatal(err)
		}
	}
	if again, err := w.issue(request, other, "e", false); err != nil || again.Equal(first) || again.NotAfter.After(first.NotAfter) {
		t.Errorf("the certificate with another life did not come back (%v)", err)
	}
	if _, err := w.issue(request, client("dbuser1"), "f", false); err == nil || !strings.Contains(err.Error(), "used by host e already") {
		t.Errorf("the same key on another host: %v", err)
	}
	if _, err := w.issue(request, client("dbuser9"), "e", false); err != nil {
		t.Errorf("the refusal spoiled the next request: %v", err)
	}
}

// One bad request among good ones fails alone.
// Under an id there may be a certificate for the same key and another name: whoever could ask in our place has left it. It is not taken.
func TestAnotherUnderTheSameID(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()[:1]...)
	w.mustRun("a")
	request, pub := csr(t)
	left, err := w.issue(request, client("report"), "e", false)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := w.fleet.CA.Certificate("clients")
	if err != nil {
		t.Fatal(err)
	}
	id, err := requestID(ca, pub, client("dbuser1"), "e")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.path("clients", "requests", id), []byte(pki.FormatSerial(left.SerialNumber)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := w.issue(request, client("dbuser1"), "e", false); err != nil || got.Subject.CommonName != "dbuser1" {
		t.Errorf("got %v, %v", got.Subject, err)
	}
}

func TestRefusedAlone(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()[:1]...)
	w.mustRun("a")
	ca, err := w.fleet.CA.Certificate("clients")
	if err != nil {
		t.Fatal(err)
	}
	foreign := newCAWorld(t, walkthrough()[:1]...)
	foreign.mustRun("a")
	otherCA, _ := foreign.fleet.CA.Certificate("clients")
	make := func(ca *x509.Certificate, name string) caRequest {
		_, pub := csr(t)
		r, err := certificateRequest(ca, pub, IssueRequest{Template: client(name), Host: "e"}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	good := make(ca, "good1")
	broken := make(ca, "broken")
	broken.fields[len(broken.fields)-1] = "tbs " + octal([]byte("no certificate"))
	short := make(ca, "short")
	short.fields[1] = "serial ABC"
	shell := make(ca, "shell")
	shell.fields[4] = "host $(touch /tmp/pgfleet-injected);`id`"
	reply := w.reply(caStep(w.fleet.Authorities["clients"], time.Now(), good, broken, make(otherCA, "foreign"), short, shell, good, make(ca, "good2"), newCARequest("status")))
	want := []string{"", "does not accept", "does not accept", "broken request", "broken request", "serial number", "", ""}
	if len(reply.Answers) != len(want) {
		t.Fatalf("%d answers, wanted %d", len(reply.Answers), len(want))
	}
	for i, a := range reply.Answers {
		if (want[i] == "") != (a.Refused == "") || !strings.Contains(a.Refused, want[i]) {
			t.Errorf("request %d: %q, wanted %q", i, a.Refused, want[i])
		}
	}
	if changed, err := w.run("a"); changed || err != nil {
		t.Errorf("a run after that changes something (%v) or fails: %v", changed, err)
	}
}

// reply runs one step and reads it.
func (w *caWorld) reply(step transport.Step) *caReply {
	w.t.Helper()
	results, err := w.Do(context.Background(), step)
	if err != nil {
		w.t.Fatal(err)
	}
	reply, err := caResult(results[0])
	if err != nil {
		w.t.Fatalf("%v: %s", err, results[0].Stderr)
	}
	return reply
}

// What users of "openssl ca" do to index.txt is taken over; what they made unreadable is made readable again.
func TestIndexOfOpenssl(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()[:1]...)
	w.mustRun("a")
	var leaves []*x509.Certificate
	var key []byte
	for i := range 3 {
		request, _ := csr(t)
		cert, err := w.issue(request, client("dbuser"), "e", false)
		if err != nil {
			t.Fatal(err)
		}
		leaves, key = append(leaves, cert), request
		_ = i
	}
	config := w.path("clients", "openssl.cnf")
	record := w.path("clients", "issued", pki.FormatSerial(leaves[0].SerialNumber))
	for _, args := range [][]string{
		{"ca", "-config", config, "-revoke", record, "-crl_reason", "keyCompromise"},
		{"ca", "-config", config, "-updatedb"},
		{"ca", "-config", config, "-gencrl", "-out", w.write("by-hand.crl", nil)},
		{"ca", "-config", config, "-batch", "-notext", "-in", w.write("hand.csr", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: key})), "-subj", "/CN=by hand", "-out", w.write("hand.pem", nil)},
	} {
		if out, err := w.openssl(args...); err != nil {
			t.Fatalf("openssl %v: %v: %s", args, err, out)
		}
	}
	if changed, err := w.run("a"); !changed || err != nil {
		t.Fatalf("changed %v, %v", changed, err)
	}
	list, err := w.fleet.CA.CRL("clients")
	if err != nil || !pki.Lists(list, leaves[0].SerialNumber) || pki.Lists(list, leaves[1].SerialNumber) {
		t.Fatalf("revoked by hand, but the list does not say so (%v)", err)
	}
	for _, e := range list.RevokedCertificateEntries {
		if e.SerialNumber.Cmp(leaves[0].SerialNumber) == 0 && e.ReasonCode != 1 {
			t.Errorf("reason %d, wanted keyCompromise", e.ReasonCode)
		}
	}
	if entries, _ := os.ReadDir(w.path("clients", "issued")); len(entries) != 6 {
		t.Errorf("%d records, wanted 2 canaries, 3 certificates and the one made by hand", len(entries))
	}
	// A row is lost, one is spelt in small letters, one is unreadable.
	index, err := os.ReadFile(w.path("clients", "index.txt"))
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.SplitAfter(string(index), "\n")
	rows[0], rows[1] = "X\tgarbage\n", strings.Replace(rows[1], "V\t", "V\t", 1)
	if err := os.WriteFile(w.path("clients", "index.txt"), []byte(strings.Join(rows, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	w.mustRun("a")
	after, _ := os.ReadFile(w.path("clients", "index.txt"))
	if got := strings.Count(string(after), "\n"); got != 6 {
		t.Errorf("index.txt has %d rows, wanted 6:\n%s", got, after)
	}
	if out, err := w.openssl("ca", "-config", config, "-updatedb"); err != nil {
		t.Errorf("openssl cannot read index.txt: %s", out)
	}
	if changed, err := w.run("a"); changed || err != nil {
		t.Errorf("changed %v, %v", changed, err)
	}
}

// One certificate of a batch that openssl does not verify costs none of the others theirs, nor their ends in the index.
func TestOneOfABatchDoesNotVerify(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()...)
	w.mustRun("a", "b")
	now := w.now()
	var requests []caRequest
	for i, issuer := range []string{"clients", "servers_root", "clients"} {
		ca, err := w.fleet.CA.Certificate(issuer)
		if err != nil {
			t.Fatal(err)
		}
		_, key := csr(t)
		template := client(fmt.Sprintf("user%d", i))
		template.ValidFor += time.Duration(i) * 24 * time.Hour
		r, err := certificateRequest(ca, key, IssueRequest{Template: template, Host: "e"}, now)
		if err != nil {
			t.Fatal(err)
		}
		requests = append(requests, r)
	}
	reply := w.reply(caStep(w.fleet.Authorities["clients"], now, requests...))
	for i, a := range reply.Answers {
		if (a.err() != nil) != (i == 1) {
			t.Errorf("answer %d: %v", i, a.err())
		}
	}
	index, err := os.ReadFile(w.path("clients", "index.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range requests {
		cert := reply.Answers[i].Files["certificate"]
		if cert == nil {
			continue
		}
		parsed, err := pki.ParseCertificates(cert)
		if err != nil {
			t.Fatal(err)
		}
		row := fmt.Sprintf("V\t%s\t\t%s\t", parsed[0].NotAfter.UTC().Format("060102150405Z"), pki.FormatSerial(parsed[0].SerialNumber))
		if !strings.Contains(string(index), row) {
			t.Errorf("index.txt lacks %q", row)
		}
	}
}
