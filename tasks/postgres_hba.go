package tasks

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/postgres"
	"github.com/pgfleet/pgfleet/tasks/survey"
	"github.com/pgfleet/pgfleet/transport"
)

// postgresHBA writes pgfleet's rules at the top of pg_hba.conf.
type postgresHBA struct {
	Enforce    string   `param:"enforce,required" allowed:"permissive password verify-ca verify-full cert" doc:"what a login over the network needs: permissive (nothing, no block), password (TLS and a password), verify-ca (also any certificate of an authority believed), verify-full (also the user's own certificate), cert (the user's own certificate and no password)"`
	Scope      string   `param:"scope" default:"declared" allowed:"declared all" doc:"declared: rules for the identities of the inventory, everybody else over TLS as your own rules say; all: one rule for everybody, your own network rules lose their effect"`
	Databases  []string `param:"databases" doc:"databases for identities that name none; default: all"`
	Addresses  []string `param:"addresses" doc:"further addresses or ranges from which the identities may come, besides those of their clients"`
	Exceptions []string `param:"exceptions" doc:"whole lines of pg_hba.conf that come first, for monitoring, poolers, replication; a list"`
	Loopback   string   `param:"loopback" default:"keep" allowed:"keep enforce" doc:"keep: for connections from the host itself (127.0.0.0/8, ::1) your own rules go on to decide, but for logins over TLS of identities that the host itself has as a client; enforce: the rules hold there too"`
	Only       string   `param:"only" allowed:"replication" doc:"replication: put in front the rules by which declared standbys log in with their certificate, where they are missing; nobody is refused by it, nothing else changes"`
	HostNoSSL  string   `param:"hostnossl" default:"reject" allowed:"reject allow" doc:"reject: connections without TLS are refused, replication too; allow: your own rules decide"`
}

var _ = register(Kind{
	Name:    "postgres_hba",
	Summary: "Say who may log in over the network, and how, with rules at the top of pg_hba.conf",
	Doc: `One marked block at the top of pg_hba.conf; what you wrote stays below it, byte for byte. In order: your exceptions; your own rules for the host itself; standbys of the inventory, by their certificate; no ` +
		`login without TLS (replication included); one rule for each identity, its databases and each address of its clients; the same users refused from elsewhere. ` +
		`The block lets nobody in who was refused before, unless you declared it.

Refused, with a list, unless --accept-refusals is given: a stage for which some client has not shown in this run that it can connect with sslmode=verify-full; somebody who ` +
		`is not declared and would be shut out (roles that may log in, sessions that are open now); an application whose sessions show no certificate, or no TLS, where the stage wants it; a client that was seen to connect from an address that the rules would not be for; a standby that streams without its certificate still. Also refused: a pg_hba.conf that the server does not accept now (file and ` +
		`line are named), TLS that is not in force yet, a pg_hba.conf that Patroni writes (what to apply there is printed; one that it leaves alone is changed like any other).

The server reads the new file before it stays; when it finds an error the file of before comes back. It takes effect with postgres_reload. Stopped clusters are left alone.`,
	Example: "postgres_hba: {enforce: cert}",
	New:     func() Task { return &postgresHBA{} },
	Roles:   []string{"db_server"},
})

// Validate checks the lines and addresses.
func (t *postgresHBA) Validate() []*ParamError {
	var out []*ParamError
	for _, line := range t.Exceptions {
		rules, err := postgres.ReadHBA([]byte(line), 18)
		switch {
		case err != nil:
			out = append(out, &ParamError{"exceptions", fmt.Sprintf("%q: %v", line, err)})
		case len(rules) != 1 || rules[0].Include != "" || strings.ContainsAny(line, "\n\r") || strings.HasSuffix(line, `\`):
			out = append(out, &ParamError{"exceptions", fmt.Sprintf("%q is not one line of pg_hba.conf", line)})
		}
	}
	for _, text := range t.Addresses {
		if _, err := readPrefix(text); err != nil {
			out = append(out, &ParamError{"addresses", err.Error()})
		}
	}
	for _, name := range t.Databases {
		if err := postgres.CheckName(name); err != nil {
			out = append(out, &ParamError{"databases", err.Error()})
		}
	}
	return out
}

// readPrefix reads an address or a range.
func readPrefix(text string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), nil
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a range; write 10.0.0.5 or 10.0.0.0/24", text)
	}
	return netip.PrefixFrom(addr, addr.BitLen()), nil
}

// Needs gives the probe of clusters.
func (t *postgresHBA) Needs(h *Host) []transport.Step {
	return []transport.Step{PostgresProbe(h)}
}

// hbaWork is what is to be done for one cluster.
type hbaWork struct {
	h          *Host
	c          *Cluster
	user       []byte
	rules      []postgres.Rule
	was, lines []string
	block      postgres.Block
	unproved   []string
	// waiting: clients have no certificate yet, because somebody else has to sign it.
	waiting       *WaitingError
	before, after string
}

// Check compares the block of each cluster.
func (t *postgresHBA) Check(_ context.Context, h *Host) (*Change, error) {
	clusters, err := Clusters(h)
	if err != nil {
		return nil, err
	}
	change := &Change{Touches: []string{KeyPostgres}}
	var steps []transport.Step
	var titles []string
	var work []*hbaWork
	for _, c := range clusters {
		if !c.Running {
			continue
		}
		w, err := t.plan(h, c)
		if err != nil {
			return nil, fmt.Errorf("%s: cluster %s: %w", h.Name, c.ID, err)
		}
		if w == nil {
			continue
		}
		work = append(work, w)
		steps = append(steps, w.steps(t.stageAfter(w))...)
		titles = append(titles, w.summary(t))
		change.Diff += w.diff()
	}
	if len(steps) == 0 {
		return nil, nil
	}
	change.Summary = strings.Join(titles, "; ")
	change.Apply = func(context.Context, Doer) ([]transport.Step, error) { return steps, nil }
	change.Foresee = func(v *View) {
		for _, w := range work {
			v.foreseeCluster(w.c, func(seen *Cluster) { seen.foreseeHBA(h.Fleet.Run, []byte(w.after)) })
		}
	}
	return change, nil
}

// plan gives what has to be done for a cluster; nil: nothing. The error is a refusal.
func (t *postgresHBA) plan(h *Host, c *Cluster) (*hbaWork, error) {
	if err := hbaBroken(c); err != nil {
		return nil, err
	}
	w := &hbaWork{h: h, c: c, before: string(c.HBA)}
	var err error
	if w.was, w.user, err = postgres.SplitBlock(c.HBA); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrRefused, c.HBAFile, err)
	}
	if w.rules, err = postgres.ReadHBA(w.user, c.Major); err != nil {
		return nil, fmt.Errorf("%w: your part of %s: %w; repair the line, then run again", ErrRefused, c.HBAFile, err)
	}
	if w.block, err = t.block(h, c); err != nil {
		return nil, err
	}
	if w.lines = w.block.Lines(w.rules); t.Only == "replication" {
		w.lines = w.block.Replicating(w.was)
	}
	w.after = string(postgres.JoinBlock(w.lines, w.user))
	theirs := c.writer(c.HBA) != ""
	if w.after == w.before || theirs && slices.Equal(rulesOf(w.before), rulesOf(w.after)) {
		return nil, nil
	}
	if !w.block.Open {
		if err := t.mayEnforce(w); err != nil {
			return w, err
		}
	}
	if theirs {
		return nil, w.managed()
	}
	return w, nil
}

// mayEnforce refuses a stage that would shut somebody out by surprise.
func (t *postgresHBA) mayEnforce(w *hbaWork) error {
	if !w.h.View.Planned(KeyPostgres) {
		if err := t.tlsInForce(w.c); err != nil {
			return err
		}
	}
	w.unproved = w.unprovedClients()
	var list []string
	if len(w.unproved) > 0 && !w.h.Fleet.CheckOnly {
		list = append(list, "these clients have not connected with sslmode=verify-full in this run: "+strings.Join(w.unproved, ", ")+
			" (they have to be in the same run, with a verify task before this one: leave -l away, or add them to it)")
	}
	list = append(list, w.cutStreams()...)
	shutOut, err := w.shutOut()
	if err != nil {
		return err
	}
	list = append(list, shutOut...)
	if w.h.Fleet.AcceptRefusals {
		return nil
	}
	if len(list) == 0 {
		return orNil(w.waiting)
	}
	return fmt.Errorf("%w: stage %s: %s", ErrRefused, t.Enforce, strings.Join(list, "; "))
}

// tlsInForce refuses rules that nobody could meet.
func (t *postgresHBA) tlsInForce(c *Cluster) error {
	switch {
	case !c.upcomingTLS() || c.Settings["ssl"].Value != "on" || len(c.Served) == 0 && c.ServedProblem == "" && c.tlsHost() != "":
		return fmt.Errorf("%w: the server does not offer TLS, so every connection would be refused; put postgres_settings with ssl: on and postgres_reload before this", ErrRefused)
	case t.Enforce != "password" && c.upcoming("ssl_ca_file") == "":
		return fmt.Errorf("%w: no authority for client certificates is set (ssl_ca_file), so every client would be refused; put a trust task before this", ErrRefused)
	}
	return nil
}

// stageAfter is the stage to note of the rules: putting some in front keeps the one that they are at.
func (t *postgresHBA) stageAfter(w *hbaWork) string {
	if t.Only == "" {
		return t.Enforce
	}
	stage, _ := postgres.StageOf([]byte(w.before))
	return stage
}

// block gives the rules that are wanted.
func (t *postgresHBA) block(h *Host, c *Cluster) (postgres.Block, error) {
	b := postgres.Block{Exceptions: t.Exceptions, AllowPlain: t.HostNoSSL == "allow", Open: t.Enforce == "permissive" || t.Only == "replication"}
	var err error
	if b.Replicate, err = t.replications(h, c, b.Open); err != nil || b.Open {
		return b, err
	}
	if t.Loopback != "enforce" {
		b.Keep = loopback()
	}
	if t.Scope == "all" {
		b.CatchAll = t.method(c, "")
		return b, nil
	}
	b.Admit, err = t.admissions(h, c)
	if err == nil && len(b.Admit)+len(b.Replicate) == 0 {
		err = fmt.Errorf("%w: no client in the inventory has an identity that uses %s: there is nobody to admit", ErrRefused, h.Name)
	}
	return b, err
}

// loopback are the addresses by which a host reaches itself.
func loopback() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

// method is what a login of role needs; role "" is anybody.
func (t *postgresHBA) method(c *Cluster, role string) string {
	password := "scram-sha-256"
	if c.Settings["password_encryption"].Value == "md5" {
		password = "md5"
	}
	for _, r := range c.Roles {
		// The md5 method takes both kinds of stored password, scram-sha-256 only its own.
		if r.HasPassword && !r.Scram && r.Login && (r.Name == role || role == "") {
			password = "md5"
		} else if r.Name == role && r.Scram {
			password = "scram-sha-256"
		}
	}
	switch t.Enforce {
	case "verify-ca", "verify-full":
		return password + " clientcert=" + t.Enforce
	case "cert":
		return "cert"
	}
	return password
}

// steps keep the old file, write the new one, and note what was written, so that it can be told from what somebody else has made of it. Stage "": nothing
// was noted of the rules before, and is not now.
func (w *hbaWork) steps(stage string) []transport.Step {
	steps := hbaSteps(w.h, w.c, "hba", w.c.HBAFile, w.before, w.after)
	if stage == "" {
		return steps
	}
	argv := steps[0].Argv
	argv[len(argv)-2], argv[len(argv)-1] = w.c.Dir+"/rules", stage+" "+survey.Digest(w.lines)+" "+w.h.Fleet.Run
	return steps
}

// hbaSteps replace pg_hba.conf or pg_ident.conf, if nobody has changed it since it was looked at.
func hbaSteps(h *Host, c *Cluster, kind, file, before, after string) []transport.Step {
	// The new ones too: the step is sent again where the reload failed that was joined with it.
	was, is := sha256.Sum256([]byte(before)), sha256.Sum256([]byte(after))
	state := "stopped"
	if c.Running {
		state = "running"
	}
	step := clusterStep(c, "pg_"+kind+".conf of", undoCopyProgram+postgresHBAProgram, file, fmt.Sprintf("%x %x", was, is), c.Dir, h.Fleet.Run, kind, state, c.BinDir, c.SocketDir,
		strconv.Itoa(c.Port), strconv.Itoa(c.Major), "", "")
	step.Stdin = []byte(after)
	return []transport.Step{step}
}
