package tasks

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

var _ = register(Kind{
	Name:    "crl",
	Summary: "bring the newest lists of revoked certificates to a server or a client",
	Doc: `For whichever authorities each cluster or identity believes now, and where their files are now: who is believed stays as it is. A new list comes into force in the
place of the old one in one rename, so there is a valid list for every authority at any moment. Each is checked first: signed by that authority, valid now, number not
lower than that of the one in force, and none missing that the one in force names and that has not ended.

On a server postgres_reload brings it into force, and proves it. Clients get lists where they have them already, or once a server's certificate has been revoked. Of an
authority that cannot be seen the list in force stays.

Lists in force that have ended, or end with the last third of their life and within 30 days, and of which the task has brought no newer one, are told, with what brings
one; the run then ends with exit code 8.

certificates says which revoked certificates the lists have to name: the task fails where they do not, and where somebody believes their authority without a list.`,
	Example: "crl: {profile: server}",
	New:     func() Task { return new(crlTask) },
	Roles:   []string{"db_server", "client"},
})

// crlTask is the kind crl.
type crlTask struct {
	Certificates []string `param:"certificates" doc:"revoked certificates that the lists have to name, as AUTHORITY:SERIAL"`
	Profile      string   `param:"profile" allowed:"server client" doc:"server or client; not given: by the host's role"`
	Only         string   `param:"only" allowed:"watch" doc:"watch: bring nothing, only tell of lists in force that end"`

	named []namedCertificate
}

// Validate reads the certificates.
func (t *crlTask) Validate() (errs []*ParamError) {
	t.named, errs = readCertificates(t.Certificates)
	if t.Only == "watch" && len(t.named) > 0 {
		errs = append(errs, &ParamError{"only", "watch tells of lists that end, whatever they name: certificates have no meaning with it"})
	}
	return errs
}

// Relies names the authorities of the certificates.
func (t *crlTask) Relies() map[string][]string { return authoritiesOf(t.Certificates) }

// Needs is what the kind trust needs.
func (t *crlTask) Needs(h *Host) []transport.Step { return (&trustTask{Profile: t.Profile}).Needs(h) }

// Check finds where newer lists are to be brought.
func (t *crlTask) Check(_ context.Context, h *Host) (*Change, error) {
	if t.Profile == "" && h.HasRole("db_server") && h.HasRole("client") {
		return nil, fmt.Errorf("%w: %s is a db_server and a client: say which with profile: server or client", ErrRefused, h.Name)
	}
	if t.Only == "watch" {
		return nil, nil
	}
	for _, c := range t.named {
		// Without it nobody can say who believes it.
		if _, err := h.Fleet.CA.Certificate(c.authority); err != nil {
			return nil, fmt.Errorf("certificate of authority %s: %w", c.authority, err)
		}
	}
	if t.server(h) {
		return t.checkServer(h)
	}
	return t.checkClient(h)
}

func (t *crlTask) server(h *Host) bool {
	return t.Profile == "server" || t.Profile == "" && h.HasRole("db_server")
}

// checkServer finds the clusters with older lists.
func (t *crlTask) checkServer(h *Host) (*Change, error) {
	clusters, err := Clusters(h)
	if err != nil {
		return nil, err
	}
	l, err := serverLook(h, clusters)
	if err != nil {
		return nil, err
	}
	var work []*serverTrust
	var waits *WaitingError
	var failed []error
	for _, c := range clusters {
		w, err := t.serverLists(h, c, l)
		if wait := AsWaiting(err); wait != nil {
			waits = waits.also(wait.softly())
		} else if err != nil {
			failed = append(failed, fmt.Errorf("cluster %s of %s: %w", c.ID, h.Name, err))
			continue
		}
		if w != nil && len(w.repair) > 0 {
			if err := cmp.Or(refusedSettings(c, w.set), c.refuseBroken()); err != nil {
				failed = append(failed, fmt.Errorf("%s: %w", h.Name, err))
				continue
			}
			work = append(work, w)
		}
	}
	switch {
	case len(work) > 0: // the others get their lists first
	case len(failed) > 0:
		return nil, errors.Join(failed...)
	default:
		return nil, orNil(waits)
	}
	change := new(trustTask).serverChange(h, work)
	change.Summary = "bring newer lists to " + strings.Join(clustersOf(work), ", ")
	return change, nil
}

func clustersOf(work []*serverTrust) (out []string) {
	for _, w := range work {
		out = append(out, "cluster "+w.c.ID)
	}
	return out
}

// serverLists compares the lists of one cluster with the newest; nil: it has none, and wants none. With a WaitingError there may be work all the same: newer lists that
// do not have everything yet.
func (t *crlTask) serverLists(h *Host, c *Cluster, l *look) (*serverTrust, error) {
	set := parseSettings(c.Ours)
	inForce := c.path(c.Settings["ssl_ca_file"].Value)
	roots, lists := set["ssl_ca_file"], set["ssl_crl_file"]
	if roots == "" {
		certs, _ := pki.ParseCertificates(c.Files[inForce].Bytes)
		theirs := c.upcomingPath("ssl_crl_file")
		var now []*x509.RevocationList
		for _, cert := range certs {
			now = append(now, listOf(c.Files[theirs].Bytes, cert))
		}
		why := fmt.Sprintf("%s is not pgfleet's", inForce)
		if theirs != "" {
			why += fmt.Sprintf("; bring the newest list to %s there, then: pgfleet task postgres_reload -l %s", theirs, h.Name)
		}
		return nil, t.uncovered(h, certs, now, why)
	}
	place := &trustTask{TLSDir: "own", Existing: "stop"}
	if !strings.HasPrefix(roots, c.Dir+"/") {
		place.TLSDir, place.File = "data", strings.TrimPrefix(roots, c.DataDir+"/")
	}
	certs, err := pki.ParseCertificates(c.named(l, roots, "trust-"))
	if err != nil {
		return nil, fmt.Errorf("%w: the authorities that it believes, %s, cannot be read (%w): have them put right by the playbook that set it up", ErrRefused, roots, err)
	}
	if lists == "" {
		return nil, t.uncovered(h, certs, nil, "its lists are switched off (crl: no)")
	}
	a, wait := t.newest(h, certs, c.withTheirLists(c.named(l, lists, "crl-")))
	if a == nil || wait != nil && AsWaiting(wait) == nil {
		return nil, wait
	}
	w, err := place.serverTrust(h, c, l, a)
	if err != nil {
		return nil, err
	}
	return w, wait
}

// newest gives the newest list of every authority believed: its own, or the one in force where the authority cannot be seen, or has only one that has ended and is not
// ours. With a WaitingError they are given, too.
func (t *crlTask) newest(h *Host, certs []*x509.Certificate, inForce []byte) (*anchors, error) {
	a := &anchors{certs: certs}
	for _, cert := range certs {
		name := h.keeperOf(cert)
		list, err := ancestor{name, cert}.list(h)
		now := listOf(inForce, cert)
		switch {
		case now == nil || err == nil && name != "":
		case h.signsElsewhere(cert):
			list, err = now, nil // one that has ended is for others to renew (Endings tells of it): those of ours do not wait for it
		case name == "" || errors.Is(err, ErrPending) || AsWaiting(err) != nil:
			list, err = now, pki.CheckCRL(now, cert, nil, nil, h.Fleet.Now.Add(time.Minute))
		}
		if err != nil {
			return nil, err
		}
		a.lists = append(a.lists, list)
	}
	return a, t.uncovered(h, certs, a.lists, "")
}

// uncovered refuses to leave somebody who believes the authority of a revoked certificate without a list that names it. why: pgfleet brings none there; nil lists: there are none.
func (t *crlTask) uncovered(h *Host, certs []*x509.Certificate, lists []*x509.RevocationList, why string) error {
	var waits *WaitingError
	for i, cert := range certs {
		name := h.authorityOf(cert)
		for _, c := range t.named {
			if c.authority != name {
				continue
			}
			title := fmt.Sprintf("certificate %s of authority %s", pki.FormatSerial(c.serial), name)
			if at := h.Fleet.Hosts[h.Fleet.Authorities[name].Host]; h.Fleet.CheckOnly && at != nil && at.View.Planned(KeyAuthority(name)) {
				return fmt.Errorf("list of authority %s: %w", name, ErrPending)
			}
			switch {
			case lists != nil && lists[i] != nil && pki.Lists(lists[i], c.serial):
			case why == "" && h.hasEnded(cert, x509.RevocationListEntry{SerialNumber: c.serial, RevocationTime: h.Fleet.Now}):
			case h.unnamed(name, cert, c.serial):
				waits = waits.also(&WaitingError{Authority: name, What: []string{"list that names " + pki.FormatSerial(c.serial)}, Soft: true})
			case why != "":
				return fmt.Errorf("%w: it believes authority %s and goes on to accept %s: %s", ErrRefused, name, title, why)
			default:
				return &unlistedError{name, title}
			}
		}
	}
	return orNil(waits)
}

// unnamed tells whether an authority that signs elsewhere has made no list yet that names a certificate.
func (h *Host) unnamed(authority string, ca *x509.Certificate, serial *big.Int) bool {
	a := h.Fleet.Authorities[authority]
	if !a.Foreign() {
		return false
	}
	list, err := foreignList(a, ca)
	return err != nil || !pki.Lists(list, serial)
}

// checkClient finds the identities with older lists.
func (t *crlTask) checkClient(h *Host) (*Change, error) {
	var work []*trustWork
	var waits *WaitingError
	for _, id := range h.Identities {
		st, err := stateOf(h, id)
		if err != nil {
			return nil, err
		}
		w, err := t.clientLists(h, st)
		if wait := AsWaiting(err); wait != nil {
			waits = waits.also(wait.softly())
		} else if err != nil {
			return nil, fmt.Errorf("%s of %s on %s: %w", id.DBUser, id.OSUser, h.Name, err)
		}
		if w != nil {
			work = append(work, w)
		}
	}
	if len(work) == 0 {
		return nil, orNil(waits)
	}
	change := (&trustTask{Existing: "stop"}).clientChange(h, work)
	var titles []string
	for _, w := range work {
		titles = append(titles, w.st.ID.DBUser+" of "+w.st.ID.OSUser)
	}
	change.Summary = "bring newer lists to " + strings.Join(titles, ", ")
	return change, nil
}

// clientLists compares the lists of one identity with the newest; nil: they are as wanted, or it wants none.
func (t *crlTask) clientLists(h *Host, st *identityState) (*trustWork, error) {
	now := st.filesNow()
	certs := st.entry(now.Root).certificates()
	if st.Block == "" || len(certs) == 0 {
		return nil, nil // nobody has set it up
	}
	var names []string
	for _, cert := range certs {
		if name := h.authorityOf(cert); name != "" {
			names = append(names, name)
		}
	}
	named := slices.ContainsFunc(t.named, func(c namedCertificate) bool { return slices.Contains(names, c.authority) })
	if now.CRL == "" && !named && !h.tells(names) {
		return nil, nil
	}
	a, wait := t.newest(h, certs, st.entry(now.CRL).PEM)
	if a == nil || wait != nil && AsWaiting(wait) == nil {
		return nil, wait
	}
	place := &trustTask{TLSDir: "own", Existing: "stop"}
	if now.Root != st.Base+"/root.crt" {
		place.TLSDir, place.File = "home", strings.TrimPrefix(now.Root, st.Home+"/.postgresql/")
	}
	w, err := place.clientWork(h, st, a)
	if err != nil {
		return nil, err
	}
	if w.files == now && string(st.entry(now.CRL).PEM) == string(w.lists) && string(st.entry(st.Base+"/root.crl").PEM) == string(w.lists) {
		return nil, wait
	}
	return w, wait
}
