package survey

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"
)

// TestElsewhere: what authorities that are offline or not ours were asked for, and their certificates, which are on no host.
func TestElsewhere(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	cert := &x509.Certificate{NotBefore: now.Add(-90 * 24 * time.Hour), NotAfter: now.Add(10 * 24 * time.Hour), IsCA: true, RawSubject: []byte("s"), RawIssuer: []byte("i")}
	rows := Judge(&Fleet{Now: now, Authorities: []Authority{{Name: "company", External: true, File: "/x/company.pem", Cert: cert}},
		Asked: []Asked{{Authority: "company", Host: "db1", Path: "/x/authorities/company/requests/db1.csr", Subject: "CN=db1", Since: now}, {Authority: "company", Path: "/x/authorities/company", List: true, Why: "it ends"}}})
	var got []string
	for _, r := range rows {
		got = append(got, strings.Join([]string{string(r.State), string(r.Kind), r.Host, r.Path, r.Findings[0].Reason}, "|"))
	}
	want := []string{
		"renew_soon|authority||/x/company.pem|two thirds of its life are over (10 days left)",
		"waiting|list||/x/authorities/company|authority company is asked for a new list: it ends",
		"waiting|certificate|db1|/x/authorities/company/requests/db1.csr|authority company was asked for it on 2026-06-01",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !rows[0].Ends(now, 11*24*time.Hour) || Waiting.Level() != Warning {
		t.Error("what ends here counts, what waits is no breakage")
	}
}
