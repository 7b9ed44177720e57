package cmd

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// revokeChoice says which certificates are meant.
type revokeChoice struct {
	host, name, serial, authority string
	// cert is the one of --file.
	cert *x509.Certificate
	all  bool

	// hosts that --host means, strange when the inventory has none such; serials are the numbers that --serial may be.
	hosts   []string
	strange bool
	serials []*big.Int
}

// authorityRecords is what an authority has issued.
type authorityRecords struct {
	name string
	// cert is its own, nil when it is not made yet.
	cert   *x509.Certificate
	issued []tasks.Issued
	// held: the records are on its own host, where they can be lost.
	held bool
}

// check refuses a choice of nothing, and of one certificate in two ways.
func (c *revokeChoice) check() error {
	switch {
	case c.host == "" && c.name == "" && c.serial == "" && c.cert == nil:
		return &usageError{text: "revoke: say which certificates: --host, --name, --serial or --file", hint: "pgfleet revoke --help shows examples"}
	case c.serial != "" && c.cert != nil, (c.serial != "" || c.cert != nil) && (c.host != "" || c.name != ""):
		return usagef("revoke: --serial and --file mean one certificate each; give one of them, without --host and --name")
	case c.all && c.name == "" && c.host == "":
		return usagef("revoke: --all goes with --host and --name")
	case c.serial == "":
		return nil
	}
	if n, err := pki.ParseSerial(c.serial); err == nil {
		c.serials = append(c.serials, n)
	}
	if n, ok := new(big.Int).SetString(c.serial, 10); ok && n.Sign() > 0 && n.BitLen() <= 160 {
		c.serials = append(c.serials, n)
	}
	if len(c.serials) == 0 {
		return usagef("--serial: %q is no serial number: 1 to 40 hexadecimal digits, or decimal ones, not 0", c.serial)
	}
	return nil
}

// resolve reads host and authority with the inventory. A host that is not there any more is one by its full name.
func (c *revokeChoice) resolve(inv *inventory.Inventory) error {
	if c.host != "" {
		hosts, err := inv.Select(c.host)
		for _, h := range hosts {
			c.hosts = append(c.hosts, h.Name)
		}
		if err != nil || len(hosts) == 0 {
			c.hosts, c.strange = []string{c.host}, true
		}
	}
	if c.authority == "" {
		return nil
	}
	_, ok := inv.Authorities[c.authority]
	known := map[string]bool{}
	for name := range inv.Authorities {
		known[name] = true
	}
	if !ok {
		return usagef("--authority: the inventory has no authority %q%s", c.authority, tasks.Suggest(c.authority, known))
	}
	return nil
}

// choose gives the certificates that are meant. The error is a *usageError with the candidates where several could be.
func (c *revokeChoice) choose(records []authorityRecords, now time.Time) ([]tasks.Issued, error) {
	var found []tasks.Issued
	ended := 0
	for _, r := range records {
		for _, i := range r.issued {
			switch {
			case !c.means(r, i):
			case i.Expires.Before(now):
				ended++
			default:
				found = append(found, i)
			}
		}
	}
	switch {
	case len(found) == 0:
		return nil, c.none(records, ended)
	case c.exact() && len(found) > 1:
		return nil, ambiguous("several certificates have this serial number", "--authority NAME says which", found)
	case c.exact():
		if err := inUse(records, found[0]); err != nil {
			return nil, err
		}
		return found, nil
	}
	// What is revoked already is meant only where nothing else is: then its list is brought to whoever lacks it.
	if slices.ContainsFunc(found, func(i tasks.Issued) bool { return i.Revoked == nil }) {
		found = slices.DeleteFunc(found, func(i tasks.Issued) bool { return i.Revoked != nil })
	}
	if !c.all && slices.ContainsFunc(found, func(i tasks.Issued) bool {
		return i.Host != found[0].Host || c.host == "" && i.Authority != found[0].Authority
	}) {
		return nil, ambiguous("these are certificates of several holders", "--host HOST, --authority NAME or --serial NUMBER says which, --all means all of them", found)
	}
	return found, nil
}

// exact tells whether one certificate is meant.
func (c *revokeChoice) exact() bool { return len(c.serials) > 0 || c.cert != nil }

// means tells whether a certificate on record is chosen. Those of authorities and test certificates are meant by their numbers alone.
func (c *revokeChoice) means(r authorityRecords, i tasks.Issued) bool {
	switch {
	case c.authority != "" && r.name != c.authority:
		return false
	case c.cert != nil:
		return i.Serial.Cmp(c.cert.SerialNumber) == 0 && r.cert != nil && string(r.cert.RawSubject) == string(c.cert.RawIssuer) &&
			r.cert.CheckSignature(c.cert.SignatureAlgorithm, c.cert.RawTBSCertificate, c.cert.Signature) == nil
	case len(c.serials) > 0:
		return slices.ContainsFunc(c.serials, func(n *big.Int) bool { return n.Cmp(i.Serial) == 0 })
	case i.Profile == pki.ProfileCanary, i.Profile == pki.ProfileCA:
		return false
	}
	return (c.host == "" || slices.Contains(c.hosts, i.Host)) && (c.name == "" || hasCommonName(i.Subject, c.name))
}

// attribute begins one in a subject as index.txt has it.
var attribute = regexp.MustCompile(`^/[A-Za-z0-9.]+=`)

// hasCommonName tells whether a subject as index.txt has it holds a common name.
func hasCommonName(subject, name string) bool {
	want := pki.OnelineSubject(pkix.Name{CommonName: name})
	_, rest, ok := strings.Cut(subject, want)
	return ok && (rest == "" || attribute.MatchString(rest))
}

// none says that nothing is meant, and what there is.
func (c *revokeChoice) none(records []authorityRecords, ended int) error {
	if ended > 0 {
		return usagef("revoke: %d certificates are meant, and all of them have ended: nobody accepts them any more", ended)
	}
	hosts := map[string]bool{}
	var names, empty []string
	for _, r := range records {
		names = append(names, r.name)
		if r.held && r.cert != nil && len(r.issued) == 0 {
			empty = append(empty, r.name)
		}
		for _, i := range r.issued {
			if i.Host != "" && i.Profile != pki.ProfileCanary {
				hosts[i.Host] = true
			}
		}
	}
	text := "revoke: no such certificate is on record at " + strings.Join(names, ", ")
	hint := "host and name have to be written as they are in the certificate; openssl x509 -in FILE -noout -serial -subject -issuer tells them"
	switch {
	case c.cert != nil && slices.ContainsFunc(records, func(r authorityRecords) bool { return c.cert.Equal(r.cert) }):
		text += fmt.Sprintf(": the one in the file is that of %s itself, a root", pki.FormatSubject(c.cert.Subject))
		hint = "nobody can revoke a root, it is replaced: pgfleet rotate-ca; of several certificates in a file the first counts"
	case c.cert != nil:
		text += fmt.Sprintf(": the one in the file was issued by %s", pki.FormatSubject(c.cert.Issuer))
		hint = "of several certificates in a file the first counts"
	case len(c.serials) > 0:
		hint = "openssl x509 -in FILE -noout -serial prints a serial number; pg_stat_ssl and PostgreSQL's log have it in decimal digits"
	case c.strange:
		text += tasks.Suggest(c.host, hosts)
	}
	if len(empty) > 0 {
		return &hostError{text: text, hint: fmt.Sprintf("nothing at all is on record at %s: if its records were lost, pgfleet authority restore --records %s takes into them what the fleet has seen", strings.Join(empty, ", "), empty[0])}
	}
	return &usageError{text: text, hint: hint + ". Whether records are whole, pgfleet authority check sees"}
}

// inUse refuses to revoke what everything below hangs on.
func inUse(records []authorityRecords, i tasks.Issued) error {
	if i.Profile == pki.ProfileCanary {
		return usagef("revoke: %s is a test certificate, with which servers are proved; nobody has its key", i.Certificate())
	}
	for _, r := range records {
		if r.cert != nil && r.cert.SerialNumber.Cmp(i.Serial) == 0 && i.Profile == pki.ProfileCA {
			return &usageError{text: fmt.Sprintf("revoke: %s is the certificate of authority %s: everything below it would be refused", i.Certificate(), r.name),
				hint: "replace the authority first; its old certificate can be revoked when nothing depends on it"}
		}
	}
	return nil
}

// ambiguous lists the candidates.
func ambiguous(text, hint string, found []tasks.Issued) error {
	lines := []string{"revoke: " + text + ":"}
	for _, i := range found {
		lines = append(lines, "  "+describeIssued(i))
	}
	return &usageError{text: strings.Join(lines, "\n"), hint: hint}
}
