package tasks

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/postgres"
	"github.com/pgfleet/pgfleet/transport"
)

// parseSettings gives name to value of a settings file of ours; nil bytes give an empty map.
func parseSettings(text []byte) map[string]string {
	set, _ := postgres.SettingsOf(text)
	return set
}

// mergeSettings gives our settings of a cluster with some changed.
func mergeSettings(c *Cluster, set map[string]string) map[string]string {
	all := postgres.ForVersion(parseSettings(c.Ours), c.Major)
	for name, value := range set {
		all[name] = value
	}
	return all
}

// settingsSteps changes some settings of ours for one cluster and keeps the others: previous bytes are copied for undo, the server's own program
// reads the whole configuration with the new file in its place, c.Dir/pgfleet.conf is replaced in one rename, postgresql.conf includes it last.
// Certificate and key that are set together are switched together. Of a cluster whose files another tool writes, nothing is changed: the step fails and says what to
// apply there.
func settingsSteps(h *Host, c *Cluster, set map[string]string) []transport.Step {
	return settingsStepsTo(h, c, set, "")
}

// settingsStepsTo is settingsSteps; a certificate among the settings has to lead to a root in the file chain, "" for any.
func settingsStepsTo(h *Host, c *Cluster, set map[string]string, chain string) []transport.Step {
	return settingsStepsFrom(h, c, c, set, chain)
}

// settingsStepsFrom is settingsStepsTo where our file first becomes that of base, which is c without some settings.
func settingsStepsFrom(h *Host, c, base *Cluster, set map[string]string, chain string) []transport.Step {
	if err := managedRefusal(c, set); err != nil {
		return []transport.Step{{Key: "settings of " + c.ID, Shell: "cat >&2; exit 1", Stdin: []byte(err.Error())}}
	}
	step := clusterStep(c, "settings of", undoCopyProgram+postgresSettingsProgram, append([]string{
		c.Dir, c.ConfigFile, c.DataDir, c.BinDir, h.Fleet.Run, c.includeLine(), yesNo(!includedLast(c)), chain}, startFiles(c, base, set)...)...)
	step.Stdin = postgres.RenderSettings(mergeSettings(base, set))
	return []transport.Step{step}
}

// startFiles tells the program which files a start with these settings would use, as far as they become others than they are: certificate, key, CA
// file, CRL file, and whether a command gives the key's passphrase; first, whether there is more to check than these paths. Of a stopped server nothing is
// known here.
func startFiles(c, base *Cluster, set map[string]string) []string {
	if !c.Running {
		return []string{"ask"}
	}
	after := &Cluster{Running: true, Dir: c.Dir, DataDir: c.DataDir, Ours: base.Ours, Settings: c.Settings, Lines: slices.Clone(base.Lines)}
	after.foreseeSettings("", set)
	out := []string{"paths", "", "", "", "", yesNo(after.upcoming("ssl_passphrase_command") != "")}
	for name := range set {
		if !strings.HasSuffix(name, "_file") && name != "ssl" {
			out[0] = "known"
		}
	}
	if base != c {
		out[0] = "known"
	}
	if !after.upcomingTLS() {
		return out
	}
	differs := func(name string) bool { return !c.upcomingTLS() || after.upcomingPath(name) != c.upcomingPath(name) }
	if differs("ssl_cert_file") || differs("ssl_key_file") {
		out[1], out[2] = after.upcomingPath("ssl_cert_file"), after.upcomingPath("ssl_key_file")
	}
	if differs("ssl_ca_file") || differs("ssl_crl_file") {
		out[3], out[4] = after.upcomingPath("ssl_ca_file"), after.upcomingPath("ssl_crl_file")
	}
	return out
}

// checks tells whether settingsSteps read, as the server's OS user, the files that a setting of set names, before they are in force.
func checks(c *Cluster, set map[string]string, name string) bool {
	files := startFiles(c, c, set)
	at := map[string]int{"ssl_cert_file": 1, "ssl_ca_file": 3}[name]
	return c.writer(c.Config) == "" && len(files) > at && files[at] != "" && files[5] == "no"
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// includedLast tells whether postgresql.conf includes our settings file and nothing after it.
func includedLast(c *Cluster) bool {
	found, after := postgres.Includes(c.Config, c.Dir+"/"+settingsFile)
	return found && len(after) == 0
}

// managedRefusal is the refusal to edit files that Patroni writes, with what to apply instead; nil where pgfleet may write.
func managedRefusal(c *Cluster, set map[string]string) error {
	if c.writer(c.Config) == "" {
		return nil
	}
	var b strings.Builder
	b.WriteString("postgresql:\n  parameters:\n")
	for _, name := range postgres.Names(set) {
		fmt.Fprintf(&b, "    %s: '%s'\n", name, strings.ReplaceAll(set[name], "'", "''"))
	}
	return &managedError{c.ConfigFile, c.Managed, "apply this with patronictl edit-config", b.String()}
}

// postgresSettings sets parameters of the server.
type postgresSettings struct {
	Absent   []string          `param:"absent" doc:"settings to take out of pgfleet's file: then what other files say counts again, or PostgreSQL's own default"`
	Settings map[string]string `param:",rest" doc:"any setting of PostgreSQL and its value, for example ssl, ssl_min_protocol_version, ssl_ciphers"`
}

var _ = register(Kind{
	Name:    "postgres_settings",
	Summary: "Set parameters of PostgreSQL in a file of pgfleet's own",
	Doc: `Writes /etc/pgfleet/<cluster>/pgfleet.conf and has postgresql.conf include it as its last line. Settings of earlier tasks in that file stay, also those that a playbook names no more: absent takes them out. ` +
		`Before anything is changed, PostgreSQL's own program reads the whole configuration with the new file in place.

Refused: a setting that the server's version lacks, with what there is instead (ssl_ecdh_curve is written as ssl_groups on 18); TLS versions that exclude each other; ciphers and curves that the host's ` +
		`OpenSSL does not know; certificates, keys, authorities and lists that the server could not start with; a value that something else overrides (ALTER SYSTEM, the command line), with the place and what to do; authorities of which the lists have none that is valid; ` +
		`a value that Patroni's own configuration has otherwise. With Patroni the line goes into postgresql.base.conf, which it leaves alone, as include_if_exists (see docs/patroni.md). A stopped cluster gets its files, nothing is started.

It takes effect with postgres_reload, or at the next restart where PostgreSQL wants one.`,
	Example: "postgres_settings: {ssl: on, ssl_min_protocol_version: TLSv1.2, absent: [ssl_ciphers]}",
	New:     func() Task { return &postgresSettings{} },
	Roles:   []string{"db_server"},
})

// Validate checks names and the values that are known here.
func (t *postgresSettings) Validate() []*ParamError {
	var out []*ParamError
	if len(t.Settings)+len(t.Absent) == 0 {
		return []*ParamError{{Text: "no setting is given; write for example ssl: on"}}
	}
	for _, name := range t.Absent {
		if text := t.mayBeAbsent(name); text != "" {
			out = append(out, &ParamError{"absent", text})
		}
	}
	for _, name := range postgres.Names(t.Settings) {
		if name != strings.ToLower(name) {
			out = append(out, &ParamError{name, "is written in lower case: " + strings.ToLower(name)})
		} else if err := postgres.CheckSetting(name, t.Settings[name], 0); err != nil {
			out = append(out, &ParamError{name, err.Error()})
		}
	}
	for _, check := range []func(map[string]string) error{postgres.CheckVersions, postgres.CheckAliases} {
		if err := check(t.Settings); err != nil {
			out = append(out, &ParamError{Text: err.Error()})
		}
	}
	return out
}

// Needs gives the probe of clusters, and those of files that are named.
func (t *postgresSettings) Needs(h *Host) []transport.Step {
	return append([]transport.Step{PostgresProbe(h)}, t.fileProbes()...)
}

// Check compares each cluster's file of ours.
func (t *postgresSettings) Check(_ context.Context, h *Host) (*Change, error) {
	clusters, err := Clusters(h)
	if err != nil {
		return nil, err
	}
	change := &Change{Touches: []string{KeyPostgres}}
	var steps []transport.Step
	var titles []string
	var work []*Cluster
	for _, c := range clusters {
		t := t.forVersion(c.Major)
		missing, err := t.missing(h, c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
		base, gone := c.without(t.Absent)
		if len(missing)+len(gone) == 0 {
			continue
		}
		work = append(work, c)
		steps = append(steps, settingsStepsFrom(h, c, base, t.Settings, "")...)
		titles = append(titles, inWords(missing, gone)+" for cluster "+c.ID+whenInForce(c, slices.Concat(missing, gone)))
		file := c.Dir + "/" + settingsFile
		change.Diff += diffText(file, string(c.Ours), string(postgres.RenderSettings(mergeSettings(base, t.Settings))))
		if !includedLast(c) {
			change.Diff += fmt.Sprintf("%s: last line becomes\n+%s\n", c.ConfigFile, c.includeLine())
		}
	}
	if len(steps) == 0 {
		return nil, nil
	}
	change.Summary = strings.Join(titles, "; ")
	change.Apply = func(context.Context, Doer) ([]transport.Step, error) { return steps, nil }
	change.Foresee = func(v *View) {
		for _, c := range work {
			t := t.forVersion(c.Major)
			v.foreseeCluster(c, func(seen *Cluster) {
				base, _ := seen.without(t.Absent)
				seen.Ours, seen.Lines = base.Ours, base.Lines
				seen.foreseeSettings(h.Fleet.Run, t.Settings)
			})
		}
	}
	return change, nil
}

// whenInForce is what the user has to know of a change that a reload does not bring about.
func whenInForce(c *Cluster, names []string) string {
	if !c.Running {
		return " (it is stopped: files only)"
	}
	for _, name := range names {
		if postgres.NeedsRestart(name) || c.Settings[name].Context == "postmaster" {
			return " (" + name + " takes effect when the server is restarted)"
		}
	}
	return ""
}

// missing gives the names that are not as wanted in our file; the error is a refusal.
func (t *postgresSettings) missing(h *Host, c *Cluster) ([]string, error) {
	for _, name := range postgres.Names(t.Settings) {
		if err := postgres.CheckSetting(name, t.Settings[name], c.Major); err != nil {
			return nil, fmt.Errorf("%w: cluster %s: %w", ErrRefused, c.ID, err)
		}
	}
	if err := foreignErrors(c); err != nil {
		return nil, err
	}
	if err := overridden(c, t.Settings); err != nil {
		return nil, err
	}
	if c.writer(c.Config) != "" {
		return nil, t.managed(c)
	}
	if err := t.certificateForTLS(h, c); err != nil {
		return nil, err
	}
	if err := t.listsWould(h, c); err != nil {
		return nil, err
	}
	if err := t.versionsWould(c); err != nil {
		return nil, err
	}
	ours := mergeSettings(c, nil)
	var out []string
	for _, name := range postgres.Names(t.Settings) {
		if value, ok := ours[name]; !ok || value != t.Settings[name] {
			out = append(out, name)
		}
	}
	if len(out) == 0 && len(t.Settings) > 0 && !includedLast(c) {
		out = append(out, "the line that includes our settings")
	}
	return out, nil
}

// managed accepts a cluster of another tool when everything is in force there already.
func (t *postgresSettings) managed(c *Cluster) error {
	for name, value := range t.Settings {
		s, ok := c.Settings[name]
		if !ok || !postgres.SameValue(s.Type, s.Unit, value, s.Value) {
			return managedRefusal(c, t.Settings)
		}
	}
	return nil
}

// certificateForTLS refuses ssl: on without a certificate: the server would go on without TLS and not start again.
func (t *postgresSettings) certificateForTLS(h *Host, c *Cluster) error {
	if on, ok := ParseBool(t.Settings["ssl"]); !ok || !on || h.View.Planned(KeyPostgres) {
		return nil
	}
	set := mergeSettings(c, t.Settings)
	for _, name := range []string{"ssl_cert_file", "ssl_key_file"} {
		value, ok := set[name]
		if !ok {
			value = c.Settings[name].Value
		}
		if f := c.Files[c.absolute(value)]; f.Missing {
			return fmt.Errorf("%w: cluster %s: ssl: on without a certificate: %s is not there; put a certificate task before this one", ErrRefused, c.ID, f.Path)
		}
	}
	return nil
}

// foreignErrors refuses to build on a configuration that the server rejects for reasons that are not ours.
func foreignErrors(c *Cluster) error {
	for _, text := range c.FileErrors {
		if !strings.HasPrefix(text, c.Dir+"/") {
			return fmt.Errorf("%w: cluster %s: PostgreSQL rejects its own configuration and would not start again: %s; repair that first", ErrRefused, c.ID, text)
		}
	}
	return nil
}

// overridden refuses settings that would not come into force because something stronger sets them otherwise.
func overridden(c *Cluster, set map[string]string) error {
	file := c.Dir + "/" + settingsFile
	for _, name := range postgres.Names(set) {
		s, ok := c.Settings[name]
		if !ok || !c.Running {
			continue
		}
		inForce := postgres.SameValue(s.Type, s.Unit, set[name], s.Value)
		if !inForce && (s.Source == "command line" || s.Source == "environment variable") {
			return fmt.Errorf("%w: cluster %s: %s is %q by the server's %s, which no file overrides; take it from there (unit file, pg_ctl options) and restart the server",
				ErrRefused, c.ID, name, s.Value, s.Source)
		}
		if err := overriddenByPatroni(c, name, set[name]); err != nil {
			return err
		}
		// Also what is in force only until the next reload.
		for _, l := range c.Lines {
			if l.Name == name && l.File != file && path.Base(l.File) == "postgresql.auto.conf" && !postgres.SameValue(s.Type, s.Unit, set[name], l.Value) {
				return fmt.Errorf("%w: cluster %s: %s is set to %q by ALTER SYSTEM (%s line %d), which wins over every file; run ALTER SYSTEM RESET %s there, then pgfleet again",
					ErrRefused, c.ID, name, l.Value, l.File, l.Line, name)
			}
		}
	}
	return nil
}
