package tasks

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// An authority that is being replaced and its successor are two generations of one. Which of them somebody shall believe, or have a certificate of, is read from the
// files in force: nothing is noted anywhere.

// Generations gives the authorities that a name means, oldest first (see pki.Generations); none: the inventory has no such authority.
func (f *Fleet) Generations(name string) []string { return pki.Generations(f.Authorities, name) }

// made gives the chains of those generations that are made and known, by name, and why one of the others is not: the newest that cannot be read, else the newest that is not
// made yet, or, where none is made, the oldest.
func (h *Host) made(gens []string) (chains map[string][]*x509.Certificate, missing error) {
	chains = map[string][]*x509.Certificate{}
	for _, g := range gens {
		chain, err := h.Fleet.CA.Chain(g)
		if err == nil && len(chain) == 0 {
			err = ErrPending
		}
		if err == nil {
			chains[g] = chain
			continue
		}
		if missing != nil && notYet(err) && (!notYet(missing) || len(chains) == 0) {
			continue
		}
		missing = fmt.Errorf("certificate of authority %s: %w", g, err)
		if at := h.Fleet.Authorities[g].Host; errors.Is(err, ErrPending) && !h.Fleet.CheckOnly && at != "" {
			missing = fmt.Errorf("authority %s is to be made on %s first (run without -l, or with that host too): %w", g, at, ErrPending)
		}
	}
	return chains, missing
}

// notYet tells whether an authority is only not made yet, or waits for somebody else to sign it.
func notYet(err error) bool { return errors.Is(err, ErrPending) || AsWaiting(err) != nil }

// planned tells whether this run would make an authority, with --check.
func (h *Host) planned(authority string) bool {
	at := h.Fleet.Hosts[h.Fleet.Authorities[authority].Host]
	return h.Fleet.CheckOnly && at != nil && at.View.Planned(KeyAuthority(authority))
}

// sameAuthority tells whether two certificates are of one authority: same name, same key.
func sameAuthority(a, b *x509.Certificate) bool {
	return string(a.RawSubject) == string(b.RawSubject) && pki.SameKey(a.PublicKey, b.PublicKey)
}

// believes tells whether every authority of a chain is among those that are believed.
func believes(now, chain []*x509.Certificate) bool {
	for _, ca := range chain {
		if !slices.ContainsFunc(now, func(c *x509.Certificate) bool { return sameAuthority(c, ca) }) {
			return false
		}
	}
	return len(chain) > 0
}

// follows tells whether one of the authorities of a trust task has a successor.
func (t *trustTask) follows(h *Host) bool {
	return slices.ContainsFunc(t.Authorities, func(name string) bool { return len(h.Fleet.Generations(name)) > 1 })
}

// believing gives the generations of the task's authorities that somebody shall believe who believes some authorities now, older ones first, and those who are gone then.
func (t *trustTask) believing(h *Host, now []*x509.Certificate) (stay, gone []string, err error) {
	var byAge [][]string
	for _, name := range t.Authorities {
		gens := h.Fleet.Generations(name)
		if len(gens) == 0 {
			return nil, nil, fmt.Errorf("%w: %s is not an authority of the inventory", ErrRefused, name)
		}
		chains, missing := h.made(gens)
		if missing != nil {
			if err := t.lacking(h, now, gens, chains, missing); err != nil {
				return nil, nil, err
			}
		}
		made := slices.DeleteFunc(slices.Clone(gens), func(g string) bool { return chains[g] == nil })
		some := t.chosen(h, made, chains, now)
		for age, g := range gens {
			if age == len(byAge) {
				byAge = append(byAge, nil)
			}
			if slices.Contains(some, g) {
				byAge[age] = append(byAge[age], g)
			}
		}
		gone = append(gone, slices.DeleteFunc(made, func(g string) bool { return slices.Contains(some, g) })...)
	}
	return slices.Concat(byAge...), gone, nil
}

// lacking tells whether one can go on without the generations that are not known.
func (t *trustTask) lacking(h *Host, now []*x509.Certificate, gens []string, chains map[string][]*x509.Certificate, missing error) error {
	// One that somebody else has to sign first may take days: meanwhile everything goes on as before it was declared.
	waits := AsWaiting(missing) != nil && t.Only != "add"
	if len(chains) == 0 || !errors.Is(missing, ErrPending) && !waits {
		return missing
	}
	for _, g := range gens {
		subject, err := pki.ParseSubject(h.Fleet.Authorities[g].Subject)
		believed := err == nil && slices.ContainsFunc(now, func(c *x509.Certificate) bool { return pki.FormatSubject(c.Subject) == pki.FormatSubject(subject) })
		// What is believed is never dropped for not being seen.
		if chains[g] == nil && (believed || h.planned(g) || t.inPlace()) {
			return missing
		}
	}
	return nil
}

// chosen gives those of the generations, oldest first, that somebody shall believe.
func (t *trustTask) chosen(h *Host, gens []string, chains map[string][]*x509.Certificate, now []*x509.Certificate) []string {
	newest, top := len(gens)-1, -1
	for i, g := range gens {
		if believes(now, chains[g]) {
			top = i
		}
	}
	var out []string
	for i, g := range gens {
		is := believes(now, chains[g])
		switch {
		case t.Only == "drop":
			is = i == newest
		case top < 0:
			is = i == newest || !h.droppedElsewhere(t.server(h), g, chains[g], chains[gens[newest]])
		case t.Only == "" || t.Only == "add":
			is = is || i > top // an older one that is not believed any more was dropped
		}
		if is {
			out = append(out, g)
		}
	}
	return out
}

// droppedElsewhere tells whether some server (or client) of the run believes an authority's successor and that authority no more: then nobody new begins to.
func (h *Host) droppedElsewhere(server bool, name string, old, next []*x509.Certificate) (dropped bool) {
	if p := h.Fleet.Proofs; p != nil {
		asked := fmt.Sprint(server, " dropped ", name)
		if p.Has("", asked, "yes") || p.Has("", asked, "no") {
			return p.Has("", asked, "yes")
		}
		defer func() { p.Add("", asked, map[bool]string{true: "yes", false: "no"}[dropped]) }()
	}
	for _, name := range sortedKeys(h.Fleet.Hosts) {
		other := h.Fleet.Hosts[name]
		beliefs, _ := other.clientBeliefs()
		if server {
			beliefs, _ = other.serverBeliefs()
		}
		if slices.ContainsFunc(beliefs, func(b belief) bool { return believes(b.certs, next) && !believes(b.certs, old) }) {
			return true
		}
	}
	return false
}

// belief is whom a cluster or an identity believes, as its files in force say. lists nil: lists of revoked certificates are not in use.
type belief struct {
	who   string
	certs []*x509.Certificate
	lists []*x509.RevocationList
	// untold: its application has not been told of them.
	untold bool
}

// serverBeliefs gives those of a server's clusters that ask for certificates, or why they are not known.
func (h *Host) serverBeliefs() (out []belief, unknown string) {
	if !h.HasRole("db_server") {
		return nil, ""
	}
	clusters, err := Clusters(h)
	if err != nil {
		return nil, notSeen(err)
	}
	for _, c := range clusters {
		certs := caFileCertificates(c)
		if len(certs) == 0 || !c.upcomingTLS() {
			continue
		}
		if reasons := servedReasons(c); len(reasons) > 0 {
			return nil, "cluster " + c.ID + ": " + reasons[0]
		}
		b := belief{who: "cluster " + c.ID, certs: certs}
		if file := c.upcomingPath("ssl_crl_file"); file != "" {
			b.lists = append([]*x509.RevocationList{}, revocationLists(c.Files[file].Bytes)...)
		}
		out = append(out, b)
	}
	return out, ""
}

// clientBeliefs gives those of a client's identities that are set up, or why they are not known.
func (h *Host) clientBeliefs() (out []belief, unknown string) {
	if !h.HasRole("client") {
		return nil, ""
	}
	for _, id := range h.Identities {
		st, err := stateOf(h, id)
		if err != nil {
			return nil, notSeen(err)
		}
		if st.Block == "" {
			continue // the playbook that sets it up gives it all that are in force
		}
		now := st.filesNow()
		out = append(out, st.belief(now.Root, now.CRL))
		if d := st.Home + "/.postgresql/"; id.Default && st.entry(d+"root.crt").Kind == "file" {
			lists := ""
			if st.entry(d+"root.crl").Kind == "file" {
				lists = d + "root.crl"
			}
			out = append(out, st.belief(d+"root.crt", lists))
		}
	}
	return out, ""
}

func (st *identityState) belief(roots, lists string) belief {
	b := belief{who: st.ID.DBUser + " of " + st.ID.OSUser, certs: st.entry(roots).certificates(), untold: st.untold()}
	if lists != "" {
		found, _ := pki.ParseCRLs(st.entry(lists).PEM)
		b.lists = append([]*x509.RevocationList{}, found...)
	}
	return b
}

// notSeen says why nothing is known of a host.
func notSeen(err error) string {
	if errors.Is(err, ErrPending) {
		return "it was not seen by this run: it could not be reached, or was left out"
	}
	return err.Error()
}

// lacks says why somebody would not accept a certificate of an authority, whose chain is given, "" when it would.
func (b belief) lacks(chain []*x509.Certificate) string {
	if !slices.ContainsFunc(b.certs, func(c *x509.Certificate) bool { return sameAuthority(c, chain[len(chain)-1]) }) {
		return "does not believe " + pki.CertTitle(chain[len(chain)-1])
	}
	for _, ca := range chain {
		if b.lists != nil && !slices.ContainsFunc(b.lists, func(l *x509.RevocationList) bool { return pki.BelongsTo(l, ca) == nil }) {
			return "has no list of revoked certificates of " + pki.CertTitle(ca)
		}
	}
	if b.untold {
		return "has an application that has not been told yet (after_change)"
	}
	return ""
}

// unbelieving names those of the hosts that meet a server's certificates, or a client's, who would not accept one of an authority. seenOnly: whoever was not seen has no say.
func (h *Host) unbelieving(profile pki.Profile, authority string, chain []*x509.Certificate, seenOnly bool) []string {
	var peers []*Host
	if profile == pki.ProfileServer {
		peers = h.Fleet.Clients(h.Name)
	} else {
		for _, name := range h.Servers {
			if peer := h.Fleet.Hosts[name]; peer != nil {
				peers = append(peers, peer)
			}
		}
	}
	var out []string
	for _, peer := range peers {
		// Nobody stops to believe it in a run that issues: once is enough, however many ask.
		known := map[bool]string{true: "has no doubt of ", false: "believes "}[seenOnly] + authority
		if h.Fleet.Proofs != nil && h.Fleet.Proofs.Has(peer.Name, "", known) {
			continue
		}
		beliefs, unknown := peer.clientBeliefs()
		if profile == pki.ProfileClient {
			beliefs, unknown = peer.serverBeliefs()
		}
		bad := false
		for _, b := range beliefs {
			if why := b.lacks(chain); why != "" {
				out, bad = append(out, fmt.Sprintf("%s (%s %s)", peer.Name, b.who, why)), true
				break
			}
		}
		switch {
		case unknown != "" && !seenOnly:
			out = append(out, fmt.Sprintf("%s (%s)", peer.Name, unknown))
		case unknown == "" && !bad && h.Fleet.Proofs != nil:
			h.Fleet.Proofs.Add(peer.Name, "", known)
		}
	}
	return out
}
