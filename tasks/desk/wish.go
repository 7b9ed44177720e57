package desk

import (
	"crypto/x509"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// ListWish is a list of revoked certificates that an authority, or one above it, is asked for.
type ListWish struct {
	// Issuer is whose list it shall be, nil while the certificate of an offline authority has not come; Subject is its name. Why in words.
	Issuer  *x509.Certificate
	Subject string
	Why     string
	// Last is the list that is known now, nil when none is. Number is the lowest that the new one may have.
	Last   *x509.RevocationList
	Number *big.Int
	// Revoked is what it has to name: what the last one names, and what was revoked since. Added of these are new.
	Revoked, Added []pki.Revoked
}

// Asks is all that an authority is asked for.
type Asks struct {
	// Own: its own certificate.
	Own      bool
	Requests []Request
	Lists    []ListWish
}

// Count is how many answers are wanted.
func (a Asks) Count() int {
	n := len(a.Requests) + len(a.Lists)
	if a.Own {
		n++
	}
	return n
}

// Asks gives what the authority is asked for at a time. The error is that of a desk that cannot be read.
func (p *Party) Asks(now time.Time) (Asks, error) {
	requests, err := p.desk().Requests()
	if err != nil {
		return Asks{}, err
	}
	lists, err := p.ListWishes(now)
	return Asks{Own: p.Offline && len(p.Chain) == 0, Requests: requests, Lists: lists}, err
}

// ListWishes gives the lists that an authority is asked for at a time: one that is missed, that has passed two thirds of its life, or that lacks what shall be revoked.
func (p *Party) ListWishes(now time.Time) ([]ListWish, error) {
	missed, err := p.missed()
	if err != nil {
		return nil, err
	}
	if p.Offline && len(p.Chain) == 0 {
		return []ListWish{{Subject: p.Subject, Why: "there is none yet", Number: big.NewInt(1)}}, nil
	}
	var out []ListWish
	for i, cert := range p.Chain {
		if i > 0 && p.Offline {
			break // those above are asked themselves
		}
		w := ListWish{Issuer: cert, Subject: pki.FormatSubject(cert.Subject), Number: big.NewInt(1)}
		w.last(p.Known)
		if i == 0 {
			if err := w.add(p, now); err != nil {
				return nil, err
			}
		}
		var why []string
		switch {
		case w.Last == nil && missed != "":
			why = append(why, missed)
		case w.Last == nil && p.Offline:
			why = append(why, "there is none yet")
		case w.Last != nil && !now.Before(w.Last.NextUpdate):
			why = append(why, "the last one ended on "+w.Last.NextUpdate.UTC().Format(time.RFC3339))
		case w.Last != nil && now.After(w.Last.ThisUpdate.Add(w.Last.NextUpdate.Sub(w.Last.ThisUpdate)/3*2)):
			why = append(why, "the last one ends on "+w.Last.NextUpdate.UTC().Format(time.RFC3339))
		}
		if n := len(w.Added); n > 0 {
			why = append(why, fmt.Sprintf("%d shall be revoked", n))
		}
		if w.Why = strings.Join(why, "; "); w.Why != "" {
			out = append(out, w)
		}
	}
	return out, nil
}

// missed gives why a list is wanted where there is none, "" when none is: somebody has missed it, or is going to once a certificate that waits has come.
func (p *Party) missed() (string, error) {
	why, err := p.desk().ListWanted()
	if why != "" || err != nil {
		return why, err
	}
	requests, err := p.desk().Requests()
	for _, r := range requests {
		if r.Template.Profile != pki.ProfileServer {
			return "there is none yet, and with lists in use nobody below it is believed without one", err
		}
	}
	return "", err
}

// last fills in what the newest known list says.
func (w *ListWish) last(known []*x509.RevocationList) {
	for _, l := range known {
		if pki.BelongsTo(l, w.Issuer) == nil && (w.Last == nil || w.Last.Number == nil || l.Number != nil && l.Number.Cmp(w.Last.Number) > 0) {
			w.Last = l
		}
	}
	if w.Last == nil {
		return
	}
	if w.Last.Number != nil {
		w.Number = new(big.Int).Add(w.Last.Number, big.NewInt(1))
	}
	for _, e := range w.Last.RevokedCertificateEntries {
		w.Revoked = append(w.Revoked, pki.Revoked{Serial: e.SerialNumber, At: e.RevocationTime, Reason: e.ReasonCode})
	}
}

// add fills in what shall be revoked and is not yet.
func (w *ListWish) add(p *Party, now time.Time) error {
	wanted, err := p.desk().Revoked()
	for _, r := range wanted {
		if (w.Last == nil || !pki.Lists(w.Last, r.Serial)) && (r.Expires.IsZero() || r.Expires.After(now)) {
			w.Revoked, w.Added = append(w.Revoked, r), append(w.Added, r)
		}
	}
	return err
}
