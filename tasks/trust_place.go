package tasks

import (
	"crypto/x509"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// Where the files that settings and services name are: pgfleet's own folders, or copies of them in the walkthrough's places.

// plainName is a file name that needs no quotes anywhere.
var plainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*\.crt$`)

// takenNames are what certificate and libpq call their own files.
var takenNames = []string{"server.crt", "client.crt", "postgresql.crt", "root.crt"}

// validatePlace refuses a place that is not of the profile, and a name of the copy that cannot be used.
func (t *trustTask) validatePlace() []*ParamError {
	var errs []*ParamError
	switch {
	case t.TLSDir == "data" && t.Profile == "client":
		errs = append(errs, &ParamError{"tls_dir", "data is a server's data directory; a client has own or home"})
	case t.TLSDir == "home" && (t.Profile == "server" || t.Only != ""):
		errs = append(errs, &ParamError{"tls_dir", "home is a client's home directory; a server has own or data"})
	}
	switch {
	case t.File == "":
	case t.TLSDir == "own":
		errs = append(errs, &ParamError{"file", "names the copy that tls_dir: data or home makes; tls_dir: own makes none"})
	case !plainName.MatchString(t.File) || len(t.File) > 100:
		errs = append(errs, &ParamError{"file", "wants a file name of letters, digits, _, - and dots that ends in .crt, for example ca1.crt"})
	case slices.Contains(takenNames, t.File):
		errs = append(errs, &ParamError{"file", "is the name of another file of pgfleet or libpq; say for example ca1.crt"})
	}
	return errs
}

// placeFits refuses a place that the host does not have; Validate cannot tell where the profile comes from the host's role.
func (t *trustTask) placeFits(h *Host) error {
	switch server := t.server(h); {
	case t.TLSDir == "data" && !server:
		return fmt.Errorf("%w: %s is a client: tls_dir: data is a server's data directory; use own or home", ErrRefused, h.Name)
	case t.TLSDir == "home" && server:
		return fmt.Errorf("%w: %s is a server: tls_dir: home is a client's home directory; use own or data", ErrRefused, h.Name)
	}
	return nil
}

// copyName is the file name of the copy of the authorities.
func (t *trustTask) copyName() string {
	if t.File == "" {
		return "ca.crt"
	}
	return t.File
}

// listBeside names the file of lists that belongs to a file of authorities.
func listBeside(file string) string { return strings.TrimSuffix(file, ".crt") + ".crl" }

// mayReplace tells whether a file of others in the place of a copy is replaced, after a copy of it was made.
func (t *trustTask) mayReplace() bool { return t.Existing == "replace" || t.Existing == "overlap" }

// refuseForeign stops at a file of others in the place of a copy.
func (t *trustTask) refuseForeign(h *Host, file string) error {
	return fmt.Errorf("%w: %s on %s is not pgfleet's: move it away, choose another name (file), or say existing: replace or overlap (it is kept as %s.before-pgfleet)",
		ErrRefused, file, h.Name, path.Base(file))
}

// known are the certificates of all authorities of the inventory, and those that are going to be believed.
func (a *anchors) known(h *Host) []*x509.Certificate {
	known := slices.Clone(a.certs)
	for name := range h.Fleet.Authorities {
		if chain, err := h.Fleet.CA.Chain(name); err == nil {
			known = append(known, chain...)
		}
	}
	return known
}

// explain tells whether a file holds nothing but authorities of the inventory, or nothing but their lists: then pgfleet, or a hand that did the same,
// has put it there, and nothing is lost with it.
func (a *anchors) explain(h *Host, file []byte) bool {
	known := a.known(h)
	if certs, err := pki.ParseCertificates(file); err == nil {
		return !slices.ContainsFunc(certs, func(c *x509.Certificate) bool { return !containsCert(known, c) })
	}
	lists, err := pki.ParseCRLs(file)
	return err == nil && !slices.ContainsFunc(lists, func(l *x509.RevocationList) bool {
		return !slices.ContainsFunc(known, func(c *x509.Certificate) bool { return pki.BelongsTo(l, c) == nil })
	})
}

// believed is a file of authorities in force and that of their lists.
type believed struct{ roots, lists []byte }

// union gives the lists that are wanted and those of authorities in force that are going to be dropped, nil when there are none: while some of them may still be
// in force, no list may be missing. At each place its own lists are looked at.
func union(certs []*x509.Certificate, lists []*x509.RevocationList, places ...believed) []byte {
	all, seen := slices.Clone(lists), slices.Clone(certs)
	for _, p := range places {
		old, err := pki.ParseCertificates(p.roots)
		if err != nil {
			continue // nobody can be using it
		}
		for _, c := range old {
			if l := listOf(p.lists, c); l != nil && !containsCert(seen, c) {
				all, seen = append(all, l), append(seen, c)
			}
		}
	}
	if len(all) == len(lists) {
		return nil
	}
	return pki.CRLPEM(all...)
}

// trustFile and listsFile name files of authorities and of lists by their content.
func trustFile(c *Cluster, roots []byte) string {
	return c.Dir + "/trust-" + contentName(roots) + ".pem"
}
func listsFile(c *Cluster, lists []byte) string { return c.Dir + "/crl-" + contentName(lists) + ".pem" }
