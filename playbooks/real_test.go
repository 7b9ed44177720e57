package playbooks_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/transport"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

const realInventory = `
hosts:
  ca1: {roles: [root_ca]}
  ca3: {roles: [intermediate_ca]}
authorities:
  root:    {host: ca1, subject: "CN=root", valid_for: 3650d}
  servers: {host: ca3, issuer: root, subject: "CN=intermediate", valid_for: 1825d}
`

const realPlaybook = `
plays:
  - {name: roots, hosts: root_ca, tasks: [authority: {}]}
  - name: intermediates
    hosts: intermediate_ca
    tasks:
      - authority: {}
      - directory: {path: /srv/x, mode: "0750"}
      - file: {path: /srv/x/y, content: "{{ text }}\n", mode: "0640"}
      - command: {argv: [touch, /srv/x/z], creates: /srv/x/z}
vars: {text: hello}
`

// realFleet is two private hosts on this machine.
type realFleet struct {
	t     *testing.T
	inv   *inventory.Inventory
	hosts map[string]*transporttest.Sandbox
	opt   playbooks.RunOptions
	told  []events.Event
}

func newRealFleet(t *testing.T) *realFleet {
	inv, err := inventory.Parse("inventory.yaml", []byte(realInventory), inventory.Options{SSHConfig: "none"})
	if err != nil {
		t.Fatal(err)
	}
	f := &realFleet{t: t, inv: inv, hosts: map[string]*transporttest.Sandbox{}}
	for _, h := range inv.Hosts {
		f.hosts[h.Name] = transporttest.NewSandbox(t)
	}
	f.opt = playbooks.RunOptions{Owner: "alice@desk", Alive: func(string) bool { return false }, Sink: func(e events.Event) { f.told = append(f.told, e) },
		Dial: func(_ context.Context, h *inventory.Host, _ ...transport.Step) (transport.Conn, error) {
			return f.hosts[h.Name].Connect(), nil
		}}
	return f
}

func (f *realFleet) run(opt playbooks.PlanOptions) *playbooks.Outcome {
	f.t.Helper()
	pb, err := playbooks.Parse("real.yaml", []byte(realPlaybook))
	if err != nil {
		f.t.Fatal(err)
	}
	plan, err := playbooks.NewPlan(pb, f.inv, opt)
	if err != nil {
		f.t.Fatal(err)
	}
	f.told = nil
	out, err := playbooks.Run(f.t.Context(), plan, f.opt)
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

func summary(out *playbooks.Outcome) string {
	var text []string
	for _, name := range []string{"ca1", "ca3"} {
		h := out.Hosts[name]
		text = append(text, fmt.Sprintf("%s %s %d %s", name, h.Kind, h.Changed, h.Reason))
	}
	return fmt.Sprintf("exit %d: %s", out.Exit, strings.Join(text, "; "))
}

// TestRealHosts: authorities on two hosts, one above the other, and files; first a check, then a run, then a second one that changes nothing
// in one round trip a host, then a lease that another run holds.
func TestRealHosts(t *testing.T) {
	f := newRealFleet(t)
	f.opt.Check = true
	if got := summary(f.run(playbooks.PlanOptions{})); got != "exit 0: ca1 would_change 0 ; ca3 would_change 0 " {
		t.Errorf("check: %s", got)
	}
	f.opt.Check = false
	out := f.run(playbooks.PlanOptions{})
	if got := summary(out); got != "exit 0: ca1 changed 1 ; ca3 changed 4 " {
		t.Fatalf("first run: %s", got)
	}
	for name, h := range f.hosts {
		t.Logf("%s: %+v", name, out.Hosts[name].Stats)
		if left := h.Shell(`cd /run/pgfleet && ls lock 2>/dev/null; ls -ld . | cut -c1-10`); left != "drwx------" {
			t.Errorf("%s: %q is left in /run/pgfleet", name, left)
		}
	}
	if got := f.hosts["ca3"].ReadFile("/srv/x/y"); got != "hello\n" {
		t.Errorf("file: %q", got)
	}
	out = f.run(playbooks.PlanOptions{})
	if got := summary(out); got != "exit 0: ca1 ok 0 ; ca3 ok 0 " {
		t.Errorf("second run: %s", got)
	}
	for name, h := range out.Hosts {
		if h.Stats.RoundTrips != 1 || h.Stats.Connections != 1 {
			t.Errorf("second run on %s: %+v", name, h.Stats)
		}
	}
	f.held()
}

// held: another run, of another machine, works on ca3: only the host that would be changed is refused, and its holder is named.
func (f *realFleet) held() {
	f.t.Helper()
	until := time.Now().Add(time.Minute).Unix()
	f.hosts["ca3"].WriteFile("/run/pgfleet/lock", fmt.Sprintf("other-run\nbob@elsewhere\n\n%d\n%d\n", until, until-60), 0o600)
	out := f.run(playbooks.PlanOptions{Vars: map[string]any{"text": "changed"}})
	h := out.Hosts["ca3"]
	if out.Exit != playbooks.ExitLocked || h.Kind != events.Failed || !strings.Contains(h.Reason, "bob@elsewhere (run other-run)") {
		f.t.Errorf("a held lease: %s", summary(out))
	}
	if got := f.hosts["ca3"].ReadFile("/srv/x/y"); got != "hello\n" {
		f.t.Errorf("the host was changed: %q", got)
	}
	f.hosts["ca3"].WriteFile("/run/pgfleet/lock", fmt.Sprintf("other-run\nbob@elsewhere\n\n%d\n%d\n", until-3600, until-7200), 0o600)
	if out := f.run(playbooks.PlanOptions{Vars: map[string]any{"text": "changed"}}); out.Exit != 0 || f.hosts["ca3"].ReadFile("/srv/x/y") != "changed\n" {
		f.t.Errorf("an expired lease: %s", summary(out))
	}
}

// cutConn breaks a connection at one round trip.
type cutConn struct {
	transport.Conn
	left int
}

func (c *cutConn) Do(ctx context.Context, steps ...transport.Step) ([]transport.Result, error) {
	if c.left--; c.left < 0 {
		return nil, fmt.Errorf("%w: cut", transport.ErrUnreachable)
	}
	if c.left == 0 {
		_, _ = c.Conn.Do(ctx, steps...) // it happened, but nobody hears of it
		return nil, errors.Join(transport.ErrUnreachable, c.Conn.Close())
	}
	return c.Conn.Do(ctx, steps...)
}

// TestCutAnywhere: the connection to the root's host, then to the intermediate's, is lost at every round trip; the next run always finishes.
func TestCutAnywhere(t *testing.T) {
	if testing.Short() {
		t.Skip("many hosts")
	}
	for _, host := range []string{"ca1", "ca3"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			for at := 1; cutAt(t, host, at); at++ {
				if at > 20 {
					t.Fatalf("%d round trips", at)
				}
			}
		})
	}
}

// cutAt loses the connection to a host at one round trip, and runs twice more; false when the run was over before.
func cutAt(t *testing.T, host string, at int) bool {
	f := newRealFleet(t)
	whole := f.opt.Dial
	f.opt.Dial = func(ctx context.Context, h *inventory.Host, _ ...transport.Step) (transport.Conn, error) {
		conn, err := whole(ctx, h)
		if h.Name == host {
			conn = &cutConn{conn, at}
		}
		return conn, err
	}
	cut := f.run(playbooks.PlanOptions{})
	f.opt.Dial = whole
	if out := f.run(playbooks.PlanOptions{}); out.Exit != 0 {
		t.Errorf("cut at round trip %d: %s; then %s", at, summary(cut), summary(out))
	}
	if out := f.run(playbooks.PlanOptions{}); out.Exit != 0 || out.Hosts["ca1"].Changed+out.Hosts["ca3"].Changed != 0 {
		t.Errorf("cut at round trip %d, third run: %s", at, summary(out))
	}
	if cut.Exit != 0 && cut.Exit != playbooks.ExitUnreachable {
		t.Errorf("cut at round trip %d: %s", at, summary(cut))
	}
	return cut.Exit != 0
}
