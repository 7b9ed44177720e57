package tasks

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/transport"
)

var _ = register(Kind{
	Name:    "verify",
	Summary: "Connect from each client to each server it uses: what must work works, what must be refused is refused",
	Doc: `Runs this client's own psql, as the application's OS user and with its files, against every server that the client
uses. Where psql is not installed the test goes through the client's SSH connection, with the client's key left where it is.

` + "`quick`" + `: one good login for every client and server in use, each refusal once a server. ` + "`full`" + `: every test for every pair. Nothing
is changed. A client tests up to eight servers at the same time, each with one connection; at most four clients test a server at the same time; ` + "`application_name`" + ` is pgfleet.`,
	Example: "verify: {level: quick}",
	New:     func() Task { return &verify{} },
	Roles:   []string{"client"},
})

//go:embed verify.sh
var verifyProgram string

// verifyQuery is what a good login asks: is TLS on, and who does the server see?
const verifyQuery = "SELECT s.ssl, s.version, coalesce(s.client_serial::text, ''), current_user" +
	" FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid()"

type verify struct {
	Level   string `param:"level" default:"full" allowed:"none quick full" doc:"how much to test"`
	Only    string `param:"only" allowed:"verify-full changed" doc:"verify-full: only that the server's certificate and name are accepted, whatever it says to the login; used before servers enforce anything. changed: only where this run has changed the client or the server since it last tested them; identities and servers that are not set up yet are left out"`
	Enforce string `param:"enforce" allowed:"permissive password verify-ca verify-full cert" doc:"the stage to expect; without it, the stage that each server's pg_hba.conf is at"`
}

// tlsOnly tells whether logins are not judged.
func (v *verify) tlsOnly() bool { return v.Only == "verify-full" }

// concerns tells whether a service is to be tested. What nobody has set up yet cannot have been changed by a run that changes what is there.
func (v *verify) concerns(h *Host, s Service) bool {
	if v.Only != "changed" {
		return true
	}
	if c, err := clusterOf(h.Fleet.Hosts[s.Server], s.Cluster); err == nil && len(c.Ours) == 0 {
		return false
	}
	return s.Installed && h.Fleet.Proofs.Changed(h.Name, s.Server)
}

// Needs gives the probes of this client's identities.
func (v *verify) Needs(h *Host) []transport.Step { return identityProbes(h) }

// Check never asks for a change.
func (v *verify) Check(context.Context, *Host) (*Change, error) { return nil, nil }

// Verify makes the tests and gives one cell each.
func (v *verify) Verify(ctx context.Context, h *Host, via Prober) ([]Cell, error) {
	if v.Level == "none" {
		return nil, nil
	}
	cases, wrong, err := v.cases(ctx, h)
	if err != nil || len(cases) == 0 {
		return wrong, err
	}
	var servers []string
	for _, c := range cases {
		servers = append(servers, c.service.Server)
	}
	leave, err := h.Fleet.Gate.Enter(ctx, servers...)
	if err != nil {
		return nil, err
	}
	defer leave()
	cells, err := runCases(ctx, cases, via)
	if err != nil {
		return nil, err
	}
	if v.tlsOnly() {
		if err := noteSources(ctx, h, cases, cells, via); err != nil {
			return nil, err
		}
	}
	if v.Level == "full" && !v.tlsOnly() {
		cells = append(cells, v.canaries(ctx, h, cases, via)...)
	}
	bad := map[string]bool{}
	for _, c := range cells {
		if c.OK && !c.Refusal {
			h.Fleet.Proofs.Add(h.Name, c.Server, c.Check)
		}
		bad[c.Server] = bad[c.Server] || !c.OK
	}
	for server, is := range bad {
		if !is {
			h.Fleet.Proofs.NoteTest(h.Name, server)
		}
	}
	return append(wrong, cells...), nil
}

// runCases sends the tests of each OS user as one program, all of them in one round trip.
func runCases(ctx context.Context, cases []verifyCase, via Prober) ([]Cell, error) {
	byUser := map[string][]int{}
	var users []string
	for i, c := range cases {
		if byUser[c.service.OSUser] == nil {
			users = append(users, c.service.OSUser)
		}
		byUser[c.service.OSUser] = append(byUser[c.service.OSUser], i)
	}
	steps := make([]transport.Step, len(users))
	for i, user := range users {
		steps[i] = verifyStep(user, cases, byUser[user])
	}
	results, err := via.Do(ctx, steps...)
	if err != nil {
		return nil, err
	}
	cells := make([]Cell, len(cases))
	for i, r := range results {
		if err := readCells(ctx, cases, byUser[users[i]], r, cells, via); err != nil {
			return nil, fmt.Errorf("verify as %s: %w", users[i], err)
		}
	}
	return cells, nil
}

func verifyStep(user string, cases []verifyCase, which []int) transport.Step {
	var in strings.Builder
	for _, wave := range waves(cases, which) {
		for _, i := range wave {
			fmt.Fprintf(&in, "%d\n%s\n%s\n", i, conninfo(cases[i].params), cases[i].password)
		}
		in.WriteByte('\n')
	}
	return transport.Step{Key: "verify:" + user, Shell: verifyProgram, Argv: []string{verifyQuery}, Stdin: []byte(in.String()),
		User: user, Probe: true, Limit: transport.DefaultLimit + verifyCaseLimit*2*seconds(len(which))}
}

// waveWidth is how many servers a client tests at the same time.
const waveWidth = 8

// waves puts tests together that are made at the same time: each of another server.
func waves(cases []verifyCase, which []int) [][]int {
	var out [][]int
	next := map[string]int{}
	for _, i := range which {
		server := cases[i].service.Server
		at := next[server]
		for at < len(out) && len(out[at]) == waveWidth {
			at++
		}
		if at == len(out) {
			out = append(out, nil)
		}
		out[at] = append(out[at], i)
		next[server] = at + 1
	}
	return out
}

// readCells turns the program's answer into cells; without psql the same tests are made from here, through the host.
func readCells(ctx context.Context, cases []verifyCase, which []int, r transport.Result, cells []Cell, via Prober) error {
	if r.Code == 127 {
		for _, i := range which {
			if cases[i].replication {
				cells[i] = cases[i].blank()
				cells[i].NotProven, cells[i].Detail = true, "no psql on this host, and a login for replication is made by nothing else here"
				continue
			}
			cells[i] = cases[i].throughHost(ctx, via)
		}
		return nil
	}
	if r.Err != nil {
		return r.Err
	}
	answers, err := parseTried(r.Stdout)
	if err != nil {
		return err
	}
	byID := map[string]tried{}
	for _, a := range answers {
		byID[a.id] = a
	}
	for _, i := range which {
		a, ok := byID[fmt.Sprint(i)]
		if !ok {
			return errors.New("some connection tests gave no answer")
		}
		cases[i].said = a.text
		cells[i] = cases[i].answered(ctx, a, via)
	}
	return nil
}

// answered judges what psql said. Where that is a server's refusal in its own language, the server is asked again for what it says in codes.
func (c verifyCase) answered(ctx context.Context, a tried, via Prober) Cell {
	got := classify(a.code, a.text)
	var err error
	if got == otherFatal {
		got, err = c.inCodes(ctx, via)
	}
	cell := c.cell(got, a.text, "psql")
	if err != nil && !cell.OK {
		reason := err.Error()
		if errors.Is(err, transport.ErrForwarding) {
			reason = "this client's sshd forwards no connection that could ask for the code"
		}
		cell.NotProven = true
		cell.Detail += " (the server speaks a language of its own, lc_messages, and " + reason + ")"
	}
	return cell
}

// cell judges one answer.
func (c verifyCase) cell(got outcome, text, via string) Cell {
	cell := c.blank()
	cell.Got, cell.Via = string(got), via
	cell.OK = slices.Contains(c.want, got)
	if c.needsPassword && c.password == "" && got == noPassword {
		cell.NotProven, cell.Detail = true, "TLS is as wanted; the server asks for a password, and the inventory refers to none"
		return cell
	}
	if c.tlsOnly && cell.OK && got != connects {
		cell.Got = cell.Want + ", then " + string(got)
	} else if cell.OK && !cell.Refusal && got != connects {
		cell.Got = "logs in, then " + string(got)
	}
	if got != connects {
		cell.Detail = lastLine(text)
		return cell
	}
	if problem := c.seen(text); problem != "" && cell.OK {
		cell.OK, cell.Got, cell.Detail = false, "connects, but "+problem, strings.TrimSpace(text)
	}
	return cell
}

// blank is the cell of a test that has no answer yet.
func (c verifyCase) blank() Cell {
	s := c.service
	want := string(c.want[0])
	if c.tlsOnly {
		want = "verified TLS"
	}
	return Cell{Client: c.client, Server: s.Server, Cluster: s.Cluster, Check: c.check, Identity: s.OSUser + "/" + s.DBUser,
		Target: fmt.Sprintf("%s:%d", s.Host, s.Port), Want: want, Refusal: c.want[0] != connects}
}

// seen checks what the server said of the session: TLS, and the serial number of the certificate in the client's file. Warnings of the server, of another version of the
// database's collation for one, stand before it.
func (c verifyCase) seen(text string) string {
	var fields []string
	for line := range strings.Lines(text) {
		if f := strings.Split(strings.TrimSpace(line), "|"); len(f) == 4 {
			fields = f
		}
	}
	if fields == nil {
		return "the answer cannot be read"
	}
	switch {
	case c.replication && c.system != "" && fields[0] != c.system:
		return "that is another database system (" + fields[0] + ", not " + c.system + ")"
	case c.replication:
		return "" // TLS and certificate are what sslmode and the rule ask for
	}
	switch {
	case fields[0] != "t":
		return "without TLS"
	case c.serial != "" && fields[2] != c.serial:
		return "the server saw the certificate with serial " + fields[2] + ", the file has " + c.serial
	}
	return ""
}
