package tasks

import (
	"testing"

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
