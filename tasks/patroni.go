package tasks

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/postgres"
)

// patroniMark is a line at the top of each configuration file that Patroni writes. What does not have it, Patroni leaves to its user: pg_hba.conf and pg_ident.conf, unless
// its own configuration has pg_hba and pg_ident.
const patroniMark = "# It will be overwritten by Patroni!"

// managedError refuses to change what another tool writes.
type managedError struct {
	what, tool string
	// how says where the user applies text.
	how, text string
}

// Error says what is not changed.
func (e *managedError) Error() string {
	return fmt.Sprintf("%v: %s is written by %s, and what pgfleet writes there would be lost", ErrRefused, e.what, e.tool)
}

// Unwrap gives ErrRefused.
func (e *managedError) Unwrap() error { return ErrRefused }

// Hint is what to apply, and where.
func (e *managedError) Hint() string { return e.how + ", then run again:\n" + e.text }

// writer names the tool that writes a configuration file with this content anew, "" where pgfleet may change it.
func (c *Cluster) writer(text []byte) string {
	if c.Managed == "patroni" && !bytes.Contains(text, []byte(patroniMark+"\n")) {
		return ""
	}
	return c.Managed
}

// findOwnConfig takes postgresql.base.conf for the configuration where Patroni writes postgresql.conf: it has the latter include the former first, and leaves that
// one alone.
func (c *Cluster) findOwnConfig() {
	base := strings.TrimSuffix(c.ConfigFile, ".conf") + ".base.conf"
	f, ok := c.ConfigFiles[base]
	if !ok || f.Missing || !f.Readable || c.writer(c.Config) == "" {
		return
	}
	list, _ := postgres.ReadConfig(c.Config)
	if slices.ContainsFunc(list, func(a postgres.Assignment) bool {
		return a.Name == "include" && (a.Value == base || a.Value == path.Base(base))
	}) {
		c.patroniFile, c.ConfigFile, c.Config = c.ConfigFile, base, f.Bytes
	}
}

// includeLine is the line that has the cluster read our settings file. Patroni makes standbys as copies of the primary, that line too: they have to start before pgfleet
// has been there.
func (c *Cluster) includeLine() string {
	if c.patroniFile != "" {
		return postgres.IncludeIfExistsLine(c.Dir + "/" + settingsFile)
	}
	return postgres.IncludeLine(c.Dir + "/" + settingsFile)
}

// refusedSettings is why settings of ours cannot come into force: something stronger sets them, or another tool writes the file that would include them.
func refusedSettings(c *Cluster, set map[string]string) error {
	if err := overridden(c, set); err != nil {
		return err
	}
	ours := parseSettings(c.Ours)
	for name, value := range set {
		if ours[name] != value {
			return managedRefusal(c, set)
		}
	}
	return nil
}

// overriddenByPatroni refuses settings that Patroni's own configuration has otherwise: it stands after ours.
func overriddenByPatroni(c *Cluster, name, value string) error {
	for _, l := range c.Lines {
		if s := c.Settings[name]; l.Name == name && l.File == c.patroniFile && !postgres.SameValue(s.Type, s.Unit, value, l.Value) {
			return fmt.Errorf("%w: cluster %s: %s is set to %q by Patroni (%s line %d), which wins over pgfleet's file; take it out of postgresql.parameters there (patronictl edit-config, or Patroni's own file on the host), then run again",
				ErrRefused, c.ID, name, l.Value, l.File, l.Line)
		}
	}
	return nil
}

// rulesOf gives the rules of a pg_hba.conf alone, one a line: comments and blanks are lost where another tool writes it.
func rulesOf(hba string) (out []string) {
	for line := range strings.Lines(hba) {
		if words := strings.Fields(line); len(words) > 0 && words[0][0] != '#' {
			out = append(out, strings.Join(words, " "))
		}
	}
	return out
}

// againstCertificates are the parameters of a primary_conninfo that are in the way of a login by certificate. Patroni always writes some, with values that are libpq's own and not in
// the way.
func (c *Cluster) againstCertificates(conn postgres.ConnInfo) []string {
	out := []string{"require_auth", "requiressl", "sslcrldir"}
	for name, usual := range map[string]string{"channel_binding": "prefer", "sslcertmode": "allow"} {
		if c.Managed == "" || conn.Get(name) != usual {
			out = append(out, name)
		}
	}
	return out
}
