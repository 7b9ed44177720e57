package tasks

import (
	"fmt"
	"maps"
	"path"

	"github.com/pgfleet/pgfleet/tasks/postgres"
	"github.com/pgfleet/pgfleet/transport"
)

// What settings say of authorities and their lists is judged before it is written: with a list that has ended, or is of another authority, PostgreSQL starts, and refuses
// everybody who shows a certificate.

// pemProgram prints the certificates and lists in a file, nothing else of it. $1 the file.
const pemProgram = `awk '/^-----BEGIN (TRUSTED |X509 )?(CERTIFICATE|CRL)-----/ { on = 1 } on { print } /^-----END / { on = 0 }' "$1"`

// named gives the files of authorities and lists that the settings name.
func (t *postgresSettings) named() []string {
	var out []string
	for _, name := range []string{"ssl_ca_file", "ssl_crl_file"} {
		if p := t.Settings[name]; path.IsAbs(p) {
			out = append(out, p)
		}
	}
	return out
}

// fileProbes read them.
func (t *postgresSettings) fileProbes() []transport.Step {
	var out []transport.Step
	for _, p := range t.named() {
		out = append(out, transport.Step{Key: "pem:" + p, Shell: pemProgram, Argv: []string{p}, Probe: true})
	}
	return out
}

// listsWould refuses settings under which some authority has no current list, as postgres_reload would. What could not be read, and what is no PEM, is left to the program that writes the
// settings.
func (t *postgresSettings) listsWould(h *Host, c *Cluster) error {
	if len(t.named()) == 0 || !c.Running {
		return nil
	}
	after := t.after(c)
	for _, p := range t.named() {
		r, err := h.View.Get("pem:" + p)
		if err != nil || r.Err != nil || len(r.Stdout) == 0 {
			return nil //nolint:nilerr // see above
		}
		after.Files[p] = HostFile{Path: p, Bytes: r.Stdout, Readable: true}
	}
	if err := after.listLacking(nil); err != nil {
		return fmt.Errorf("%w: cluster %s: %w; name the file with its newest list", ErrRefused, c.ID, err)
	}
	return nil
}

// after is a cluster as it would be with the settings.
func (t *postgresSettings) after(c *Cluster) *Cluster {
	after := *c
	after.Lines, after.Files = append([]FileLine(nil), c.Lines...), maps.Clone(c.Files)
	after.Settings, after.ConfigFiles, after.Copies = maps.Clone(c.Settings), maps.Clone(c.ConfigFiles), nil
	after.foreseeSettings("", t.Settings)
	return &after
}

// versionsWould refuses TLS versions that exclude each other, also those that are set elsewhere: PostgreSQL would not start with them.
func (t *postgresSettings) versionsWould(c *Cluster) error {
	after, set := t.after(c), map[string]string{}
	for _, name := range []string{"ssl_min_protocol_version", "ssl_max_protocol_version"} {
		set[name] = after.upcoming(name)
	}
	if err := postgres.CheckVersions(set); err != nil {
		return fmt.Errorf("%w: cluster %s: %w: set both", ErrRefused, c.ID, err)
	}
	return nil
}
