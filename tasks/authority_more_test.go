package tasks

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// A root is there after the look and two round trips, an intermediate after one more, which goes to the host above; a second run only looks.
func TestAuthorityRoundTrips(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()...)
	for _, c := range []struct {
		host        string
		first, next int
	}{{"a", 3, 1}, {"b", 3, 1}, {"c", 4, 1}} {
		for i, want := range []int{c.first, c.next} {
			before := w.calls
			changed, err := w.run(c.host)
			if err != nil || changed != (i == 0) {
				t.Fatalf("host %s, run %d: changed %v, %v", c.host, i+1, changed, err)
			}
			if got := w.calls - before; got != want {
				t.Errorf("host %s, run %d: %d round trips, wanted %d", c.host, i+1, got, want)
			}
		}
	}
}

// Three levels on one host are made in one run, whatever the order of their names.
func TestAuthoritiesOnOneHost(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t,
		pki.Authority{Name: "z", Host: "a", Subject: "CN=top", ValidFor: 10 * year},
		pki.Authority{Name: "m", Host: "a", Issuer: "z", Subject: "CN=middle", ValidFor: 6 * year},
		pki.Authority{Name: "b", Host: "a", Issuer: "m", Subject: "CN=bottom", ValidFor: 3 * year})
	w.finished("a")
	chain, err := w.fleet.CA.Chain("b")
	if err != nil || len(chain) != 3 {
		t.Fatalf("chain of %d, %v", len(chain), err)
	}
	for i, want := range []int{0, 1, 2} {
		if chain[i].MaxPathLen != want {
			t.Errorf("path length of %s is %d, wanted %d", chain[i].Subject.CommonName, chain[i].MaxPathLen, want)
		}
	}
}

// A host for roots and for intermediates is in two plays: --check shows what is to be done once.
func TestAuthoritiesShownOnce(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, pki.Authority{Name: "root", Host: "a", Subject: "CN=top", ValidFor: 10 * year}, pki.Authority{Name: "below", Host: "a", Issuer: "root", Subject: "CN=below", ValidFor: 6 * year})
	h := w.fleet.Hosts["a"]
	results, err := w.Do(t.Context(), (&authorityTask{}).Needs(h)...)
	if err != nil {
		t.Fatal(err)
	}
	h.View.Put(results...)
	w.fleet.CheckOnly = true
	change, err := (&authorityTask{}).Check(t.Context(), h)
	if err != nil || change == nil || !strings.Contains(change.Summary, "root: ") || !strings.Contains(change.Summary, "below: ") {
		t.Fatalf("%+v %v", change, err)
	}
	h.View.Plan(change.Touches...)
	if again, err := (&authorityTask{}).Check(t.Context(), h); err != nil || again != nil {
		t.Errorf("again: %+v %v", again, err)
	}
}

// The intermediate's host begins before the root is there, and waits.
func TestIntermediateWaitsForItsRoot(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()[1:]...)
	done := make(chan error)
	go func() {
		_, err := w.run("c")
		done <- err
	}()
	if _, err := w.run("b"); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// An intermediate is renewed from its own key when two thirds of its life are over; what it signed before still verifies.
func TestIntermediateIsRenewed(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()[1:]...)
	w.mustRun("b", "c")
	request, _ := csr(t)
	leaf, err := w.fleet.CA.Issue(context.Background(), "servers", IssueRequest{CSR: request, Template: server("db1"), Host: "d"})
	if err != nil {
		t.Fatal(err)
	}
	old, _ := w.fleet.CA.Certificate("servers")
	w.fleet.Now = time.Now().Add(4 * year)
	summary, err := w.summary("c")
	if err != nil || !strings.Contains(summary, "two thirds of its life are over") {
		t.Fatalf("in four years: %q, %v", summary, err)
	}
	// The host's clock cannot be set here, so the reason is another one: the authority above has had its key made anew under the same name.
	w.fleet.Now = time.Now()
	a := w.fleet.Authorities["servers"]
	a.ValidFor = 6 * year
	w.fleet.Authorities["servers"] = a
	if _, err := w.revoke("b", "superseded", "servers_root:"+pki.FormatSerial(old.SerialNumber)); err != nil {
		t.Fatal(err)
	}
	list, err := w.fleet.CA.CRL("servers_root")
	if err != nil {
		t.Fatal(err)
	}
	if summary, err = w.summary("c"); err != nil || !strings.Contains(summary, "revoked on") {
		t.Fatalf("revoked: %q, %v", summary, err)
	}
	w.mustRun("c")
	chain, err := w.fleet.CA.Chain("servers")
	if err != nil {
		t.Fatal(err)
	}
	if chain[0].Equal(old) || !pki.SameKey(chain[0].PublicKey, old.PublicKey) {
		t.Error("renewed from the same key: another certificate, the same key")
	}
	if _, err := pki.VerifyChain(leaf, pki.ChainOptions{Roots: chain[1:], Intermediates: chain[:1], Now: time.Now(), Use: pki.ProfileServer}); err != nil {
		t.Error(err)
	}
	if pki.Lists(list, chain[0].SerialNumber) {
		t.Error("the new certificate is on the list")
	}
}

// The key of an authority that was revoked gets no other certificate; it does where only a former one was, or where the certificate was superseded.
func TestRevokedAuthorityStaysRevoked(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()[1:]...)
	w.mustRun("b", "c")
	revoke := func(reason string) string {
		t.Helper()
		cert, err := w.fleet.CA.Certificate("servers")
		if err != nil {
			t.Fatal(err)
		}
		serial := pki.FormatSerial(cert.SerialNumber)
		if _, err := w.revoke("b", reason, "servers_root:"+serial); err != nil {
			t.Fatal(err)
		}
		return serial
	}
	former := revoke("superseded")
	w.mustRun("c")
	if _, err := w.runTask("c", &authorityTask{Name: "servers", Only: "renew", Force: true}); err != nil {
		t.Fatal(err)
	}
	w.mustRun("b", "c")
	revoke("unspecified")
	if _, err := w.run("c"); err != nil {
		t.Fatalf("one of three is left: %v", err)
	}
	last := revoke("CACompromise")
	if _, err := w.run("c"); err == nil || !strings.Contains(err.Error(), "certificate "+last+" was revoked (CACompromise), and it is that of an authority with this key: its key gets no other one; declare a new authority") {
		t.Errorf("%v; %s was superseded", err, former)
	}
}

// A wrong parameter or a host without an authority says what to do.
func TestAuthorityRefusesHosts(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, append(walkthrough(), pki.Authority{Name: "company", External: "x.pem"}, pki.Authority{Name: "same", Host: "a", Subject: "CN=same"})...)
	w.fleet.Hosts["db"] = &Host{Name: "db", View: &View{}, Fleet: w.fleet}
	a := w.fleet.Authorities["same"]
	a.Dir = w.fleet.Authorities["clients"].Dir
	w.fleet.Authorities["same"] = a
	for _, c := range []struct{ host, name, want string }{
		{"db", "", "places no authority on db"},
		{"a", "client", "did you mean clients?"},
		{"b", "clients", "is on host a, not on b"},
		{"a", "company", "offline or external"},
		{"a", "", "same folder"},
	} {
		task := &authorityTask{Name: c.name}
		h := w.fleet.Hosts[c.host]
		results, _ := w.Do(context.Background(), task.Needs(h)...)
		h.View.Put(results...)
		if _, err := task.Check(context.Background(), h); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s on %s: %v, wanted %q", c.name, c.host, err, c.want)
		}
	}
}

// What a host prints is read or refused, whatever it is.
func FuzzCAReply(f *testing.F) {
	f.Add([]byte("pgfleet-ca 1 1 0\nanswer status ok\ndirectory ours \nname x\nmode drwx------ 0 .\ncrlnumber 01\nrevoked 0A 260101000000Z superseded 270101000000Z\nend\n"))
	f.Add([]byte("pgfleet-ca 1 1 0\nnote x\nanswer certificate ok\nserial 0A\nend\nrecords\n|x\nend\n"))
	f.Add([]byte("pgfleet-ca 1 1 0\nanswer crl refused\nreason no\nend\n"))
	f.Add([]byte("pgfleet-ca 1 1 0\nanswer status ok\ncertificate\n|-----BEGIN CERTIFICATE-----\n|-----END CERTIFICATE-----\nend\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		reply, err := parseCAReply(out)
		if err != nil {
			return
		}
		for _, a := range reply.Answers {
			if a.Refused == "" && a.err() != nil {
				t.Fatal("an error without a refusal")
			}
			_, _, _ = signed(a, nil)
		}
		if state, err := ParseAuthority(resultOf(out)); err == nil && (state == nil || state.NextNumber == nil || state.NextNumber.Sign() <= 0) {
			t.Fatal("a state without the number of the next list")
		}
	})
}
