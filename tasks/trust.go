package tasks

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pgfleet/pgfleet/tasks/desk"
	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

var _ = register(Kind{
	Name:    "trust",
	Summary: "say which authorities a server or a client believes, with their lists of revoked certificates",
	Doc: `On a server: ssl_ca_file holds the authorities that sign clients' certificates, root first, and ssl_crl_file one current list of revoked certificates for
every one of them. Both are files named by their content, switched together by one rename of pgfleet.conf, the list never later than the authority. Each list is checked
first: signed by that authority, valid now, number not lower than that of the one in force, and none missing that the one in force names and that has not ended.

On a client: root.crt of every identity holds the root first, then what is below it; with lists also root.crl, in the other order. The services in ~/.pg_service.conf
name them. Lists come into use by themselves once a certificate of these authorities was revoked (see the parameter crl).

With tls_dir the files that the settings and services name are copies in the walkthrough's places: with data FILE.crt and FILE.crl in a server's data directory,
owned by the server's OS user, 0600; with home FILE.crt (and FILE.crl) in a client's ~/.postgresql, 0600. A list is there before the authorities that need it, and stays
until they are gone. A file of that name that is not pgfleet's stops the task; with existing: overlap or replace it is kept as NAME.before-pgfleet.

An authority that is not pgfleet's in force stops the task: existing: keep leaves everything as it is, overlap trusts both, replace ours alone. What is to be kept has to be
good: a file that is no PEM, and a list that has ended or is of another authority, are refused.`,
	Example: "trust: {authorities: [servers_root, servers]}",
	New:     func() Task { return new(trustTask) },
	Roles:   []string{"db_server", "client"},
})

// trustTask is one trust task as written.
type trustTask struct {
	Authorities []string `param:"authorities,required" doc:"authorities to believe, as named in the inventory; those above them up to the root come with them"`
	Profile     string   `param:"profile" allowed:"server client" doc:"server or client; not given: by the host's role"`
	CRL         string   `param:"crl" default:"auto" allowed:"auto yes no on off true false" doc:"lists of revoked certificates; auto: yes on servers; on clients where they are in use already, or once a server's certificate has been revoked"`
	Only        string   `param:"only" allowed:"repair renew beside add drop" doc:"repair: files that are missing or changed, newer lists, and renewed certificates, of authorities that a server believes already; renew: only new certificates of authorities that are believed already, in the place where their file is; nobody else is believed for either. beside: where a server asks for certificates of others already, ours are believed beside them, with existing: replace too, which ends that later; with keep it is refused where clients use the server, whose certificates it would not accept. add: successors (replaces) of authorities that are believed already; drop: authorities that have a successor, once nobody in the fleet needs them; both in the place where their file is"`
	Until       string   `param:"until" default:"drop" allowed:"trust reissue drop" doc:"how far a replacement is to go; only: drop does nothing unless it is drop"`
	TLSDir      string   `param:"tls_dir" default:"own" allowed:"own data home" doc:"own: pgfleet's folders; data: copies in a server's data directory (backups and pg_rewind then meet them); home: copies in a client's ~/.postgresql"`
	File        string   `param:"file" doc:"name of the copy of the authorities with tls_dir data or home (ca.crt); the lists beside it have the same name with .crl"`
	Existing    string   `param:"existing" default:"stop" allowed:"stop keep overlap replace" doc:"when other authorities are in force: stop, keep them alone, trust both, or ours alone"`
}

// Relies names the authorities to believe.
func (t *trustTask) Relies() map[string][]string {
	return map[string][]string{"authorities": t.Authorities}
}

// Validate refuses an empty list.
func (t *trustTask) Validate() []*ParamError {
	var errs []*ParamError
	if len(t.Authorities) == 0 {
		errs = append(errs, &ParamError{"authorities", "names none: without one nobody is believed"})
	}
	if (t.Only == "repair" || t.Only == "beside") && t.Profile == "client" {
		errs = append(errs, &ParamError{"only", t.Only + " is for servers"})
	}
	return append(errs, t.validatePlace()...)
}

func (t *trustTask) server(h *Host) bool {
	return t.Profile == "server" || t.Profile == "" && h.HasRole("db_server")
}

// Needs looks at a server's clusters and trust files, or at a client's identities.
func (t *trustTask) Needs(h *Host) []transport.Step {
	if t.server(h) {
		return []transport.Step{PostgresProbe(h), serverProbe()}
	}
	return identityProbes(h)
}

// Check finds where trust is not as wanted. Where an authority has a successor, each cluster and identity has its own answer to whom it shall believe.
func (t *trustTask) Check(_ context.Context, h *Host) (*Change, error) {
	change, err := t.check(h)
	switch wait := AsWaiting(err); {
	case wait == nil:
		return change, err
	case t.Only == "repair", t.Only == "renew", t.Only == "beside":
		return nil, nil // nobody believes an authority that is not there
	case t.inForce(h):
		return nil, wait.softly()
	}
	return nil, err
}

// inForce tells whether all of a server's clusters, or of a client's identities, believe authorities by pgfleet's doing: until what is missed has come they go on to.
func (t *trustTask) inForce(h *Host) bool {
	if !t.server(h) {
		return !slices.ContainsFunc(h.Identities, func(id Identity) bool {
			st, err := stateOf(h, id)
			return err != nil || st.filesNow().Root == ""
		})
	}
	clusters, err := Clusters(h)
	return err == nil && !slices.ContainsFunc(clusters, func(c *Cluster) bool { return parseSettings(c.Ours)["ssl_ca_file"] == "" })
}

func (t *trustTask) check(h *Host) (*Change, error) {
	if t.Profile == "" && h.HasRole("db_server") && h.HasRole("client") {
		return nil, fmt.Errorf("%w: %s is a db_server and a client: say which with profile: server or client", ErrRefused, h.Name)
	}
	if err := t.placeFits(h); err != nil {
		return nil, err
	}
	if t.Only == "drop" && (t.Until != "drop" || !t.follows(h)) || t.Only == "add" && !t.follows(h) {
		return nil, nil
	}
	if t.Only == "" && !t.server(h) {
		if err := refuseHomes(h); err != nil { // before the authorities: a look ahead tells of it when there are none yet
			return nil, err
		}
	}
	var a *anchors
	if !t.follows(h) {
		var err error
		a, err = t.anchorsFor(h, nil)
		if t.Only != "" && errors.Is(err, ErrPending) {
			return nil, nil // nobody believes an authority that is not there
		}
		if err != nil {
			return nil, err
		}
	}
	if t.server(h) {
		return t.checkServer(h, a)
	}
	return t.checkClient(h, a)
}

// anchors are the authorities that are going to be believed and their lists.
type anchors struct {
	// certs: root first, then what is below it. lists in the same order, none when lists are off.
	certs []*x509.Certificate
	lists []*x509.RevocationList
	// gone are authorities that have a successor and are to be believed no more.
	gone []*x509.Certificate
}

// anchorsFor gathers what somebody shall believe who believes some authorities now: they decide where an authority is being replaced, and nowhere else.
func (t *trustTask) anchorsFor(h *Host, now []*x509.Certificate) (*anchors, error) {
	stay, gone, err := t.believing(h, now)
	if err != nil {
		return nil, err
	}
	a, err := t.anchors(h, stay)
	if err != nil {
		return nil, err
	}
	for _, name := range gone {
		line, err := h.lineage(name)
		if err != nil {
			return nil, err
		}
		for _, l := range line {
			if !a.has(l.cert) && !containsCert(a.gone, l.cert) {
				a.gone = append(a.gone, l.cert)
			}
		}
	}
	return a, nil
}

// anchors gathers the chains of the named authorities, each certificate once, and a checked list for every one of them.
func (t *trustTask) anchors(h *Host, names []string) (*anchors, error) {
	a := &anchors{}
	wantLists, ok := ParseBool(t.CRL)
	if !ok {
		wantLists = t.server(h) || h.listsInUse() || h.tells(names)
	}
	for _, name := range names {
		line, err := h.lineage(name)
		if err != nil {
			return nil, err
		}
		for _, l := range line {
			if a.has(l.cert) {
				continue
			}
			a.certs = append(a.certs, l.cert)
			if !wantLists {
				continue
			}
			list, err := l.list(h)
			if err != nil {
				return nil, err
			}
			a.lists = append(a.lists, list)
		}
	}
	return a, nil
}

func (a *anchors) has(cert *x509.Certificate) bool { return containsCert(a.certs, cert) }

func containsCert(list []*x509.Certificate, cert *x509.Certificate) bool {
	return slices.ContainsFunc(list, cert.Equal)
}

// ancestor is one certificate of an authority's chain with the authority's name, "" when the inventory does not have it.
type ancestor struct {
	name string
	cert *x509.Certificate
}

// lineage gives an authority's chain, its root first.
func (h *Host) lineage(name string) ([]ancestor, error) {
	if _, ok := h.Fleet.Authorities[name]; !ok {
		return nil, fmt.Errorf("%w: %s is not an authority of the inventory", ErrRefused, name)
	}
	chain, err := h.Fleet.CA.Chain(name)
	if err != nil {
		return nil, fmt.Errorf("certificate of authority %s: %w", name, err)
	}
	if len(chain) == 0 {
		return nil, fmt.Errorf("certificate of authority %s: %w", name, ErrPending)
	}
	out := make([]ancestor, len(chain))
	for i, cert := range chain {
		out[len(chain)-1-i] = ancestor{name, cert}
		if a := h.Fleet.Authorities[name]; a.External == "" { // the file of an external one holds those above it too
			name = a.Issuer
		}
	}
	if root := out[0].cert; !bytes.Equal(root.RawSubject, root.RawIssuer) {
		return nil, fmt.Errorf("%w: the chain of authority %s ends in %s, which is no root: PostgreSQL and libpq accept no chain that does not end in a self-signed certificate; add the root",
			ErrRefused, out[len(out)-1].name, pki.FormatSubject(root.Subject))
	}
	return out, nil
}

// list gives the authority's newest list after checking it.
func (l ancestor) list(h *Host) (*x509.RevocationList, error) {
	title := pki.CertTitle(l.cert)
	if l.name == "" {
		return nil, fmt.Errorf("%w: no list of revoked certificates is known of %s; with lists in use it would lock out everybody below it: declare that authority in the inventory (external, and its lists: crl), or say crl: no", ErrRefused, title)
	}
	list, err := l.newest(h)
	if err != nil {
		return nil, fmt.Errorf("list of revoked certificates of authority %s: %w", l.name, err)
	}
	if err := pki.CheckCRL(list, l.cert, nil, nil, h.Fleet.Now.Add(time.Minute)); err != nil {
		if h.Fleet.Authorities[l.name].Foreign() {
			err = fmt.Errorf("%w: bring a newer one from authority %s (pgfleet authority requests)", err, l.name)
		} else {
			err = fmt.Errorf("%w: pgfleet run crl makes a new one", err)
		}
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return list, nil
}

// newest gives the newest list that is known. One that is missed is asked for.
func (l ancestor) newest(h *Host) (*x509.RevocationList, error) {
	a := h.Fleet.Authorities[l.name]
	if !a.Foreign() {
		return h.Fleet.CA.CRL(l.name)
	}
	list, err := foreignList(a, l.cert)
	if wait := AsWaiting(err); wait != nil {
		wait.keep = append(wait.keep, func() error {
			return desk.Desk{Dir: a.Desk}.WantList("there is none yet, and with lists in use nobody below it is believed without one")
		})
	}
	return list, err
}

// rootsPEM is a chain in PEM, its root first.
func rootsPEM(chain []*x509.Certificate) []byte {
	upside := slices.Clone(chain)
	slices.Reverse(upside)
	return pki.CertificatePEM(upside...)
}

// both tells whether authorities in force that are not ours stay besides ours.
func (t *trustTask) both() bool { return t.Existing == "overlap" || t.Existing == "keep" }

// refuseDrop refuses to take away authorities in force that this fleet knows nothing of; they got there by overlap.
func (t *trustTask) refuseDrop(h *Host, who string, inForce []byte, a *anchors) error {
	if t.Existing != "stop" || len(inForce) == 0 {
		return nil
	}
	certs, err := pki.ParseCertificates(inForce)
	if err != nil {
		return nil // nobody can be using it
	}
	known := a.known(h)
	for _, cert := range certs {
		if !slices.ContainsFunc(known, func(k *x509.Certificate) bool {
			return pki.SameKey(k.PublicKey, cert.PublicKey) || cert.CheckSignatureFrom(k) == nil
		}) {
			return fmt.Errorf("%w: %s of %s believes authority %s, which the inventory does not have: say existing: overlap (it stays) or replace (it goes) (mtls: -e existing_trust=overlap)",
				ErrRefused, who, h.Name, pki.CertTitle(cert))
		}
	}
	return nil
}
