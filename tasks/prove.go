package tasks

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/pgfleet/pgfleet/transport"
)

// Prove sees from a new connection that every running cluster serves what its files say, and notes in the host's own records that
// the changes so far are good to come back to.
func (t *postgresReload) Prove(ctx context.Context, h *Host, via Prober) error {
	t.notes = nil
	if !t.WithProof {
		return nil
	}
	clusters, err := Clusters(h)
	if err != nil {
		return err
	}
	var steps []transport.Step
	for _, c := range clusters {
		if !c.Running {
			continue
		}
		if err := t.proveCluster(ctx, h, c, via); err != nil {
			return fmt.Errorf("cluster %s: %w", c.ID, err)
		}
		if runs := c.unprovedRuns(); len(runs) > 0 {
			steps = append(steps, clusterStep(c, "note proof of", undoProvedProgram, append([]string{c.Dir, t.servedNote(h, c)}, runs...)...))
		}
	}
	if len(steps) == 0 {
		return nil
	}
	if later, ok := via.(interface{ Later(steps ...transport.Step) }); ok {
		later.Later(steps...) // a run that dies before has its changes proved by the next one
		return nil
	}
	results, err := via.Do(ctx, steps...)
	if err != nil {
		return err
	}
	return transport.Failed(steps, results)
}

// servedNote is a note of what the cluster has been seen to serve, "" where that has not been seen.
func (t *postgresReload) servedNote(h *Host, c *Cluster) string {
	if h.Fleet.Proofs == nil || h.Fleet.Proofs.Serves(h.Name, c.ID) != c.tlsState() {
		return ""
	}
	return servedNote(c)
}

// unprovedRuns are all runs with an unproved copy.
func (c *Cluster) unprovedRuns() []string {
	var out []string
	for _, k := range c.Copies {
		if k.State == "unproved" && !slices.Contains(out, k.Run) {
			out = append(out, k.Run)
		}
	}
	return out
}

// Undo puts the files of before this run back, and those of earlier runs that nobody has proved.
func (t *postgresReload) Undo(h *Host) []transport.Step {
	clusters, err := Clusters(h)
	if err != nil {
		clusters = t.before
	}
	var out []transport.Step
	for _, c := range clusters {
		runs := c.unprovedRuns()
		slices.Reverse(runs)
		if len(runs) > 0 {
			out = append(out, c.rollback(h, "", runs...)...)
		}
	}
	return out
}

// proveCluster compares a new TLS connection with the files, and shows the test certificates and TLS 1.1 on others at the same time.
func (t *postgresReload) proveCluster(ctx context.Context, h *Host, c *Cluster, via Prober) error {
	if !c.upcomingTLS() {
		if h.Fleet.Proofs != nil {
			h.Fleet.Proofs.NoteServes(h.Name, c.ID, "") // nothing is left that it could go on with
		}
		return nil
	}
	at := c.tlsHost()
	if at == "" {
		t.notes = append(t.notes, "cluster "+c.ID+": not proved: it listens on no TCP address")
		return nil
	}
	// What it has shown last in this run, it need not show again: where files cannot be read anew, a server goes on with what it has.
	state, proofs := c.tlsState(), h.Fleet.Proofs
	versions, lowest, refused := c.ID+" versions", c.upcoming("ssl_min_protocol_version"), false
	if proofs != nil {
		if proofs.Serves(h.Name, c.ID) == state {
			return nil
		}
		refused = proofs.Serves(h.Name, versions) == lowest
		proofs.NoteServes(h.Name, c.ID, "")
		proofs.NoteServes(h.Name, versions, "")
	}
	p := &tlsProbe{via: via, addr: fmt.Sprintf("%s:%d", at, c.Port), curves: c.curves()}
	notes := len(t.notes)
	shows, err := t.canaries(h, c, p)
	if err != nil {
		return err
	}
	if len(shows) == 0 {
		shows = append(shows, p.servesFiles(c))
	}
	if !refused {
		shows = append(shows, p.refusesOldTLS(c))
	}
	err = sideBySide(ctx, shows)
	if errors.Is(err, transport.ErrForwarding) {
		t.notes = t.notes[:notes]
		return t.proveFromHost(ctx, h, c, via)
	}
	if err == nil && proofs != nil {
		proofs.NoteServes(h.Name, versions, lowest)
		if len(t.notes) == notes {
			proofs.NoteServes(h.Name, c.ID, state)
		}
	}
	return err
}

// proof is something that a server has to show on a connection of its own: nil when it does.
type proof func(context.Context) error

// sideBySide makes all connections at the same time, waits for all, and gives the error of the first in the list that failed.
func sideBySide(ctx context.Context, shows []proof) error {
	errs := make([]error, len(shows))
	var all sync.WaitGroup
	for i, show := range shows {
		all.Go(func() { errs[i] = show(ctx) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// servesFiles compares a new TLS connection with the files.
func (p *tlsProbe) servesFiles(c *Cluster) proof {
	return func(ctx context.Context) error {
		seen, err := p.connect(ctx, attempt{})
		if errors.Is(err, errNoTLS) {
			err = fmt.Errorf("%w: it did not take the files, or its OpenSSL forbids them; its log says why", err)
		}
		if err != nil {
			return fmt.Errorf("a new TLS connection to %s: %w", p.addr, err)
		}
		return compareServed(c, seen.chain, seen.authorities)
	}
}

// tlsState is a digest of all that decides what the server serves and whom it accepts over TLS: the files and the versions.
func (c *Cluster) tlsState() string {
	var b bytes.Buffer
	for _, name := range []string{"ssl_cert_file", "ssl_key_file", "ssl_ca_file", "ssl_crl_file"} {
		path := c.upcomingPath(name)
		fmt.Fprintf(&b, "%s %s %d %s\n", name, path, c.Files[path].ModTime.UnixNano(), c.Files[path].Bytes)
	}
	for _, name := range []string{"ssl_crl_dir", "ssl_min_protocol_version", "ssl_max_protocol_version"} {
		fmt.Fprintf(&b, "%s %s\n", name, c.upcoming(name))
	}
	return contentName(b.Bytes())
}

// curves are what to offer first for the key exchange, nil for what is usual: a server that knows one curve only asks for it, which takes a round trip more.
func (c *Cluster) curves() []tls.CurveID {
	const name, usual = "ssl_ecdh_curve", "prime256v1"
	if c.Settings[name].Value == usual && c.upcoming(name) == usual {
		return []tls.CurveID{tls.CurveP256}
	}
	return nil
}

// proveFromHost is what is left where the host lets no connection through it: what its own openssl sees.
func (t *postgresReload) proveFromHost(ctx context.Context, h *Host, c *Cluster, via Prober) error {
	if c.ServedProblem == notLookedAt {
		results, err := via.Do(ctx, postgresProbe(h, "served"))
		if err != nil {
			return err
		}
		h.View.Put(results...)
		clusters, err := Clusters(h)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(clusters, func(other *Cluster) bool { return other.ID == c.ID })
		if i < 0 {
			return fmt.Errorf("it is not there any more")
		}
		c = clusters[i]
	}
	if c.ServedProblem != "" {
		return fmt.Errorf("the host forbids forwarding, and its own openssl: %s", c.ServedProblem)
	}
	t.notes = append(t.notes, "cluster "+c.ID+": seen by the host's own openssl, since the host forbids forwarding; not proved: refusal of old TLS versions, the test certificates")
	return compareServed(c, c.Served, c.ServedCAs)
}

// compareServed tells whether what is served is what the files hold.
func compareServed(c *Cluster, chain [][]byte, authorities []string) error {
	file := c.upcomingPath("ssl_cert_file")
	want := certificatesDER(c.Files[file].Bytes)
	if len(want) == 0 {
		return fmt.Errorf("%s cannot be read to compare it with what is served", file)
	}
	for i, der := range want {
		if i >= len(chain) || string(chain[i]) != string(der) {
			return fmt.Errorf("served are %s, but %s holds %s: the server did not take the files; its log says why", describeChain(chain), file, describeChain(want))
		}
	}
	if names := authorityNames(c); !sameNames(names, authorities) {
		return fmt.Errorf("it asks for certificates of %q, but %s holds %q", authorities, c.upcomingPath("ssl_ca_file"), names)
	}
	return nil
}

// describeChain names certificates by subject and serial number.
func describeChain(chain [][]byte) string {
	if len(chain) == 0 {
		return "no certificates"
	}
	text := ""
	for i, der := range chain {
		if i > 0 {
			text += ", "
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			text += "an unreadable certificate"
			continue
		}
		text += fmt.Sprintf("%q (serial %X)", subjectText(cert), cert.SerialNumber)
	}
	return text
}
