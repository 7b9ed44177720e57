package tasks

import (
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// An intermediate is renewed with its name and its key; those below it, on its host or on another, get its new certificate above theirs and keep their own.
func TestAuthorityRenewed(t *testing.T) {
	t.Parallel()
	for _, hosts := range [][3]string{{"a", "b", "c"}, {"a", "b", "b"}, {"a", "a", "a"}} {
		w := newCAWorld(t,
			pki.Authority{Name: "top", Host: hosts[0], Subject: "CN=top", ValidFor: 10 * year},
			pki.Authority{Name: "middle", Host: hosts[1], Issuer: "top", Subject: "CN=middle", ValidFor: 6 * year},
			pki.Authority{Name: "bottom", Host: hosts[2], Issuer: "middle", Subject: "CN=bottom", ValidFor: 3 * year})
		w.mustRun(hosts[:]...)
		before, err := w.fleet.CA.Chain("bottom")
		if err != nil {
			t.Fatal(err)
		}
		list, err := w.fleet.CA.CRL("middle")
		if err != nil {
			t.Fatal(err)
		}
		want := func(changed bool, host string, task *authorityTask) {
			t.Helper()
			if got, err := w.runTask(host, task); err != nil || got != changed {
				t.Fatalf("%v: on %s changed %v, want %v; %v", hosts, host, got, changed, err)
			}
		}
		want(false, hosts[1], &authorityTask{Only: "renew"})
		want(false, hosts[0], &authorityTask{Only: "renew", Name: "top", Force: true}) // a root
		want(true, hosts[1], &authorityTask{Only: "renew", Name: "middle", Force: true})
		want(true, hosts[2], &authorityTask{Only: "renew", Name: "bottom"})
		for _, host := range hosts {
			want(false, host, &authorityTask{})
		}
		after, err := w.fleet.CA.Chain("bottom")
		if err != nil || len(after) != 3 {
			t.Fatalf("chain of %d, %v", len(after), err)
		}
		if !after[0].Equal(before[0]) || after[1].Equal(before[1]) || !after[2].Equal(before[2]) {
			t.Errorf("%v: the chain was\n%s\nand is\n%s", hosts, pki.CertificatePEM(before...), pki.CertificatePEM(after...))
		}
		if !pki.SameKey(after[1].PublicKey, before[1].PublicKey) || after[0].CheckSignatureFrom(after[1]) != nil || pki.BelongsTo(list, after[1]) != nil {
			t.Error("what the authority had signed is not good any more")
		}
		// All at once: each once, whoever is above it.
		want(true, hosts[1], &authorityTask{Only: "renew", Force: true})
	}
}

// An intermediate lives no longer than the root above it, and is not renewed for what would end on the same day: everybody's renewals would wait for it.
func TestAuthorityWithinItsRoot(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t,
		pki.Authority{Name: "root", Host: "a", Subject: "CN=root", ValidFor: 3 * year},
		pki.Authority{Name: "below", Host: "b", Issuer: "root", Subject: "CN=below", ValidFor: 2 * year})
	w.mustRun("a", "b")
	longer := w.fleet.Authorities["below"]
	longer.ValidFor = 5 * year
	w.fleet.Authorities["below"] = longer
	if changed, err := w.runTask("b", &authorityTask{Only: "renew", Force: true}); !changed || err != nil {
		t.Fatalf("changed %v, %v", changed, err)
	}
	chain, err := w.fleet.CA.Chain("below")
	if err != nil || chain[0].NotAfter.After(chain[1].NotAfter) || chain[1].NotAfter.Sub(chain[0].NotAfter) > time.Minute {
		t.Fatalf("it ends on %s, its root on %s; %v", chain[0].NotAfter, chain[1].NotAfter, err)
	}
	w.fleet.Authorities["below"] = longer
	w.fleet.Now = chain[1].NotAfter.Add(-year / 2)
	for _, task := range []*authorityTask{{}, {Only: "renew"}} {
		if change, err := task.Check(t.Context(), w.fleet.Hosts["b"]); change != nil || err != nil {
			t.Errorf("half a year before both end: %+v, %v", change, err)
		}
	}
	if change, err := (&authorityTask{Only: "renew", Force: true}).Check(t.Context(), w.fleet.Hosts["b"]); err != nil || change == nil || !strings.Contains(change.Diff, "+ not after:   "+chain[1].NotAfter.UTC().Format("2006-01-02")) {
		t.Errorf("asked for: %+v, %v", change, err)
	}
}

// An intermediate that has ended is renewed as one that is due is, and what it has signed is accepted again. A root is not: nobody would believe it.
func TestEndedAuthority(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()...)
	w.mustRun("a", "b", "c")
	w.fleet.Now = time.Now().Add(6 * year)
	for _, task := range []*authorityTask{{}, {Only: "renew"}} {
		if change, err := task.Check(t.Context(), w.fleet.Hosts["c"]); err != nil || change == nil || !strings.Contains(change.Summary, "servers: renew its certificate (it ended on ") {
			t.Errorf("in six years: %+v, %v", change, err)
		}
	}
	w.fleet.Now = time.Now().Add(11 * year)
	if _, err := (&authorityTask{}).Check(t.Context(), w.fleet.Hosts["b"]); err == nil || !strings.Contains(err.Error(), "its certificate ended on") {
		t.Errorf("a root: %v", err)
	}
}

// What is renewed with an authority's certificate, and what need not be: its list would end with the one before, its test certificates end with the root.
func TestListOfRenewedAuthority(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()[1:]...)
	w.mustRun("b", "c")
	good, bad, err := w.fleet.CA.Canaries("servers")
	if err != nil {
		t.Fatal(err)
	}
	a := w.fleet.Authorities["servers"]
	a.ValidFor = 6 * year
	w.fleet.Authorities["servers"] = a
	if changed, err := w.runTask("c", &authorityTask{Only: "renew", Force: true}); !changed || err != nil {
		t.Fatalf("changed %v, %v", changed, err)
	}
	chain, err := w.fleet.CA.Chain("servers")
	if err != nil {
		t.Fatal(err)
	}
	list, err := w.fleet.CA.CRL("servers")
	if err != nil || !list.NextUpdate.Equal(chain[0].NotAfter) || !pki.Lists(list, bad.SerialNumber) {
		t.Errorf("the list ends on %s, its authority on %s; %v", list.NextUpdate, chain[0].NotAfter, err)
	}
	good2, bad2, err := w.fleet.CA.Canaries("servers")
	if err != nil || !good2.Equal(good) || !bad2.Equal(bad) || !good.NotAfter.Equal(chain[1].NotAfter) || !bad.NotAfter.Equal(chain[1].NotAfter) {
		t.Errorf("the test certificates end on %s and %s, the root on %s; %v", good.NotAfter, bad.NotAfter, chain[1].NotAfter, err)
	}
	// Older ones may end before: that is said.
	w.now = func() time.Time { return time.Now().Add(11 * year) }
	if _, _, err := w.fleet.CA.Canaries("servers"); err == nil || !strings.Contains(err.Error(), "pgfleet run mtls") {
		t.Errorf("in eleven years: %v", err)
	}
}
