package survey

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// modes say what is wrong with the owner or mode of a file and what to do, "" when nothing is.
type modes struct {
	key, file func(*File) (wrong, hint string)
}

// wrongMode finds that a file's owner or mode is wrong.
func wrongMode(r *Row, judge func(*File) (wrong, hint string), f *File) {
	if f.Path == "" || f.Absent || f.Owner == "" {
		return
	}
	if wrong, hint := judge(f); wrong != "" {
		r.find(WrongMode, wrong, hint)
	}
}

// chmod is what to type for the mode of one file. Root follows no links in other people's folders: the owner acts, and root only below a folder that is its own.
func chmod(host, roots, mode string, f *File) string {
	who := " -u " + f.Owner
	switch {
	case f.Owner != "root":
	case roots != "" && strings.HasPrefix(f.Path, roots+"/"):
		who = ""
	default:
		return "on " + host + ": chmod " + mode
	}
	path := f.Path
	if strings.Trim(path, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-") != "" {
		path = "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return "pgfleet exec -l " + host + who + " -- chmod " + mode + " " + path
}

// pair adds the rows of a certificate and its key. more, if not nil, finds what is a server's or a client's own; it gets the leaf.
func (j *judge) pair(base Row, p *Pair, names []string, m modes, more func(*Row, *x509.Certificate)) {
	r := base
	r.Kind, r.Path = KindCertificate, p.Cert.Path
	if p.Cert.Path == "" {
		r.find(Missing, "no certificate is named", again(r.Host))
	} else if readable(&r, &p.Cert, again(r.Host)) {
		leaf := p.Cert.Certs[0]
		j.describe(&r, leaf)
		if r.InForce {
			j.leaf(&r, p, names)
			if more != nil {
				more(&r, leaf)
			}
		}
		wrongMode(&r, m.file, &p.Cert)
	}
	// A run that was stopped leaves a key that waits for its certificate.
	if r.InForce || !p.Cert.Absent {
		j.add(r)
	}
	j.key(base, &p.Key, m)
}

// key adds the row of a private key's file.
func (j *judge) key(base Row, k *Key, m modes) {
	if k.Path == "" || k.Absent && !base.InForce {
		return
	}
	r := base
	r.Kind, r.Path = KindKey, k.Path
	wrongMode(&r, m.key, &k.File)
	switch {
	case k.Absent:
		r.find(Missing, k.Path+" is not there", again(r.Host))
	case k.Passphrase:
		r.find(Unreadable, "it has a passphrase, without which nothing starts unattended", again(r.Host))
	case k.Problem != "":
		r.find(Unreadable, k.Problem, again(r.Host))
	}
	j.add(r)
}

// leaf judges a certificate in force that is a server's or a client's own, and says when it is renewed.
func (j *judge) leaf(r *Row, p *Pair, names []string) {
	leaf := p.Cert.Certs[0]
	j.valid(r, leaf, again(r.Host))
	if p.Key.Public != nil && !pki.SameKey(leaf.PublicKey, p.Key.Public) {
		breaks := "no connection can be made with it"
		if r.Role == "db_server" {
			breaks = "PostgreSQL does not start with it"
		}
		r.find(KeyMismatch, p.Key.Path+" is another key: "+breaks, again(r.Host))
	}
	a, ca, unsure := j.signer(leaf)
	if why := j.revocation(leaf, a); why != "" {
		r.find(Revoked, why, again(r.Host))
	}
	switch {
	case a == nil && unsure:
		return
	case a == nil:
		r.find(NotOurs, fmt.Sprintf("no authority of the inventory has signed it; its issuer is %s", r.Issuer), "")
		return
	}
	j.whole(r, p.Cert.Certs)
	if ca != nil {
		j.recorded(r, leaf, a)
	}
	j.renewal(r, p, a, names)
}

// whole finds authorities missing between a leaf and its root: whoever has the root alone could not verify it.
func (j *judge) whole(r *Row, certs []*x509.Certificate) {
	_, err := pki.VerifyChain(certs[0], pki.ChainOptions{Roots: j.roots, Intermediates: certs[1:], Now: j.f.Now})
	var broken *pki.ChainError
	if errors.As(err, &broken) && broken.Problem == pki.ChainIncomplete {
		r.find(Incomplete, fmt.Sprintf("%s does not hold every authority up to the root: %s", r.Path, broken.Text), again(r.Host))
	}
}

// recorded compares a certificate with the records of its authority. The host of an authority is the inventory's to say: one that was restored elsewhere, from its
// backup, has the certificate that was issued for its host of before.
func (j *judge) recorded(r *Row, cert *x509.Certificate, a *Authority) {
	records, seen := j.records[a.Name]
	if !seen {
		return
	}
	rec := records[pki.FormatSerial(cert.SerialNumber)]
	switch {
	case rec == nil:
		r.find(RecordsDiffer, fmt.Sprintf("authority %s has no record of it and could not revoke it: was it brought back from an older copy?", a.Name), "take it into the records: pgfleet authority restore --records "+a.Name)
	case r.Kind != KindAuthority && rec.Host != "" && !strings.EqualFold(rec.Host, r.Host):
		r.find(RecordsDiffer, fmt.Sprintf("authority %s issued it for %s", a.Name, rec.Host), "have it issued anew with a key of its own: pgfleet rotate --force --new-key -l "+r.Host)
	}
}

// renewal says when a certificate of ours is replaced.
func (j *judge) renewal(r *Row, p *Pair, a *Authority, names []string) {
	leaf := p.Cert.Certs[0]
	policy := pki.RenewPolicy{Issuer: a.Cert, Key: p.Key.Public, CRL: a.List}
	due, why := pki.Renew(leaf, policy, j.f.Now)
	if lacks := lacking(leaf, names); !due && len(lacks) > 0 {
		due, why = true, "its names lack "+strings.Join(lacks, ", ")
	}
	if due {
		r.Renewal = &Renewal{Due: true, At: j.now(), Reason: why}
		if !r.has(Expired) && !r.has(Revoked) && !r.has(KeyMismatch) { // they have said it
			r.find(RenewSoon, why, again(r.Host))
		}
		return
	}
	r.Renewal = &Renewal{At: renewAt(leaf), Reason: "two thirds of its life are over"}
}

// now and renewAt are times as they are told: in UTC, in whole seconds.
func (j *judge) now() time.Time { return j.f.Now.UTC().Truncate(time.Second) }

func renewAt(c *x509.Certificate) time.Time { return pki.RenewAt(c).UTC().Truncate(time.Second) }

// lacking gives the names that a certificate should carry and does not.
func lacking(cert *x509.Certificate, names []string) []string {
	has := map[string]bool{}
	for _, n := range pki.Names(cert) {
		has[strings.ToLower(n)] = true
	}
	var out []string
	for _, n := range names {
		if !has[strings.ToLower(n)] {
			out = append(out, n)
		}
	}
	return out
}
