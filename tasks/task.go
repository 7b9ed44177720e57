// Package tasks holds the kinds of task that pgfleet can do to a host, one file a kind.
//
// Looking is apart from changing. Needs says what has to be seen; the runner collects the needs of a host's whole run and looks
// once. Check compares what was seen with what is wanted and does no I/O. What it finds missing is a Change, which
// carries both the text that --check shows and the function that does it, so that what was shown is what is done.
package tasks

import (
	"context"
	"crypto/x509"
	"errors"
	"net"

	"github.com/pgfleet/pgfleet/transport"
)

// ErrPending says that a value is not known yet: it comes from a step that has not been done (or, with --check, is not going
// to be). Check may return it wrapped; the task then counts as "would change (known after apply)".
var ErrPending = errors.New("known after apply")

// Task is one kind of task with its parameters, bound to one host's values.
type Task interface {
	// Needs gives keyed probes; equal keys run once a host. A probe discovers and reads in one go.
	Needs(h *Host) []transport.Step
	// Check compares h.View and h.Fleet with what is wanted; nil: already so. It never connects. An error is a refusal (or
	// ErrPending) and is shown to the user: say what is wrong, where, and what to do.
	Check(ctx context.Context, h *Host) (*Change, error)
}

// Change is what a task would do, and how.
type Change struct {
	// Summary: one line, for example "renew certificate of dbuser1 (41 days left)". Diff: unified or free text, may be empty. Neither holds
	// secret bytes; a certificate is shown as subject, names, dates, issuer, fingerprint, and why.
	Summary, Diff string
	// Notes are what the user should know besides, whether or not the differences are asked for.
	Notes []string
	// Touches lists view keys that this makes stale; the runner reads them anew together with the closing steps.
	Touches []string
	// Shows are those among them that closing steps themselves show, each by a step with that key: no probe is sent for it, unless the change foresees
	// its effect. Apply may set it.
	Shows []string
	// Apply does it and returns its closing steps, which the runner sends in one round trip with the probes of
	// Touches; most changes need nothing but closing steps and never call do. Stopped anywhere, Check and Apply
	// again still end in the wanted state.
	Apply func(ctx context.Context, do Doer) (closing []transport.Step, err error)
	// Foresee, if not nil, notes in the view (View.Foresee) what the change will have made of it, so that the host's next task can be checked, and both
	// be sent in one round trip; it is called after Apply. Each of them is checked again on what is found afterwards. nil: the change is sent, and its
	// effect seen, before the next task is looked at.
	Foresee func(v *View)
	// Then, if not nil, sees the results of the closing steps (same length unless one failed) before Check is asked
	// again. It gives the error that the user should read, or nil.
	Then func(results []transport.Result) error
}

// Doer is the part of a connection that a change may use. The runner's Doer takes the host's lease before the
// first step that is no probe, counts, and gives up the host's slot while it waits.
type Doer interface {
	Do(ctx context.Context, steps ...transport.Step) ([]transport.Result, error)
}

// Prober is what proving and verifying may use.
type Prober interface {
	Doer
	Dial(ctx context.Context, network, addr string) (net.Conn, error)
}

// Prover is a Task that changed a server in a way that must be seen working from outside: a fresh connection to the server.
// The runner calls Prove when the task changed something and its Check asks for nothing more. If Prove fails, the runner sends the
// steps of Undo (the files of before, from the host's own copies), proves again and ends the host as "rolled back".
type Prover interface {
	Task
	Prove(ctx context.Context, h *Host, via Prober) error
	Undo(h *Host) []transport.Step
}

// Verifier is a Task that changes nothing and tests from the host when its turn comes, after Check. It also runs when nothing changed.
// The cells tell what was tried; the error is the connection's or a refusal, never a cell that differs.
type Verifier interface {
	Task
	Verify(ctx context.Context, h *Host, via Prober) ([]Cell, error)
}

// Cell is one connection test of the verification matrix.
type Cell struct {
	// Client and Server are inventory names; Cluster is "15/main" or "".
	Client, Server, Cluster string
	// Check is the test's name, for example "verify-full", "no-certificate", "other-user", "revoked".
	Check string
	// Identity is "osuser/dbuser". Target is what was connected to ("db1.example.net:5432").
	Identity, Target string
	// Want and Got are short outcomes: "connects", or "refused: <reason>". Detail is the raw message, without secrets.
	Want, Got, Detail string
	// Via names the vantage point: "psql", "pgx", "openssl".
	Via string
	// OK: Got is as wanted. NotProven: could not be tried, Detail says why; it counts as neither.
	OK, NotProven bool
	// Refusal: the test wants a refusal.
	Refusal bool
}

// Authorities gives what the CAs of the fleet have made and lets them sign. It is safe for concurrent use.
type Authorities interface {
	// Certificate gives an authority's own certificate, ErrPending when it is not made yet.
	Certificate(name string) (*x509.Certificate, error)
	// Chain gives the authority's certificate and those above it, its root last. ErrPending as above.
	Chain(name string) ([]*x509.Certificate, error)
	// CRL gives an authority's newest list, ErrPending when there is none yet.
	CRL(name string) (*x509.RevocationList, error)
	// Canaries gives the good and the revoked test certificate of an authority (nobody has their key), ErrPending when not made yet.
	Canaries(name string) (good, revoked *x509.Certificate, err error)
	// CanSign gives ErrRefused, with the reason, when it is known without asking that an authority can sign nothing: its key is another than that of its certificate.
	CanSign(name string) error
	// Issue has an authority sign. What arrives while one batch is in flight forms the next (group commit).
	// Asked again for the same key, profile, names and policy it gives the certificate already issued.
	Issue(ctx context.Context, name string, req IssueRequest) (*x509.Certificate, error)
}
