package survey

import (
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// What counts as seen of an authority is what carries its signature, wherever it lies, whatever the authority's records say.
func TestSeenOf(t *testing.T) {
	w := newWorld(t)
	old := issue(t, w.clients, clientTemplate(), w.clientKey, now)
	both := issue(t, w.clients, clientTemplate(), w.clientKey, now)
	impostor := newAuthority(t, nil, w.clients.cert.Subject.CommonName, 10*year, now)
	forged := issue(t, impostor, clientTemplate(), w.clientKey, now)
	unseen := issue(t, w.clients, clientTemplate(), w.clientKey, now)
	w.app().Versions = []Pair{{Cert: File{Certs: []*x509.Certificate{old}}}, {Cert: File{Certs: []*x509.Certificate{forged, both}}}}
	w.db().Others = []File{{Certs: []*x509.Certificate{both}, Lists: []*x509.RevocationList{
		w.clients.list(t, 7, 0, now, old), w.clients.list(t, 9, 0, now.Add(time.Hour), old, unseen), impostor.list(t, 99, 0, now, w.clientLeaf)}}}

	seen := w.fleet.SeenOf(w.clients.cert)
	got := map[string]string{}
	for _, d := range seen.Certificates {
		got[pki.FormatSerial(d.Cert.SerialNumber)] = d.Host + " " + string(d.Profile)
	}
	want := map[*x509.Certificate]string{w.clientLeaf: "app1 client", old: "app1 client", both: " client"}
	if len(got) != len(want) {
		t.Errorf("%d certificates, want %d", len(got), len(want))
	}
	for c, at := range want {
		if got[pki.FormatSerial(c.SerialNumber)] != at {
			t.Errorf("%s: %q, want %q", pki.FormatSerial(c.SerialNumber), got[pki.FormatSerial(c.SerialNumber)], at)
		}
	}
	if seen.Number == nil || seen.Number.Int64() != 9 {
		t.Errorf("highest number %v", seen.Number)
	}
	for c, expires := range map[*x509.Certificate]time.Time{old: old.NotAfter, unseen: w.clients.cert.NotAfter} {
		i := slices.IndexFunc(seen.Revoked, func(r pki.Revoked) bool { return r.Serial.Cmp(c.SerialNumber) == 0 })
		if i < 0 || !seen.Revoked[i].At.Equal(now) && c == old || !seen.Revoked[i].Expires.Equal(expires) {
			t.Errorf("revoked: %+v", seen.Revoked)
		}
	}
	if len(seen.Revoked) != 2 {
		t.Errorf("%d revoked", len(seen.Revoked))
	}
	below := w.fleet.SeenOf(w.root.cert)
	if len(below.Certificates) != 1 || below.Certificates[0].Profile != pki.ProfileCA || below.Certificates[0].Host != "ca2" {
		t.Errorf("below the root: %+v", below.Certificates)
	}
}
