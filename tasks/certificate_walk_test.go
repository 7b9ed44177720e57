package tasks

import (
	"crypto/x509"
	"fmt"
	"testing"
)

// entry of a flow: what a run does in order.
type flowStep struct {
	host   func(*world) *Host
	kind   string
	values map[string]any
}

func onClient(w *world) *Host { return w.client }
func onServer(w *world) *Host { return w.server }

var clientFlow = []flowStep{{onClient, "trust", map[string]any{"authorities": []any{"servers"}, "crl": true}}, {onClient, "certificate", clientCertificate}}

// follow runs a flow, task by task, until something fails.
func (w *world) follow(flow []flowStep) (changed bool, err error) {
	for _, f := range flow {
		c, err := w.run(f.host(w), task(w.t, f.kind, f.values))
		if err != nil {
			return changed, err
		}
		changed = changed || c
	}
	return changed, nil
}

// finish runs a flow twice without harm: the first run ends the work, the second finds nothing to do.
func (w *world) finish(what string, flow []flowStep) {
	w.t.Helper()
	w.cut, w.kill = 0, 0
	if _, err := w.follow(flow); err != nil {
		w.t.Fatalf("%s: the next run does not finish: %v", what, err)
	}
	if changed, err := w.follow(flow); err != nil || changed {
		w.t.Fatalf("%s: the run after that: changed %v, %v", what, changed, err)
	}
}

// clientWhole fails when the service file names what cannot be used: files that are missing or do not belong together.
func (w *world) clientWhole(what string) {
	w.t.Helper()
	out := w.sb.Shell(`cd /home/app && [ -f .pg_service.conf ] || exit 0
value() { sed -n "s/^$1=//p" .pg_service.conf | head -n 1; }
crt=$(value sslcert) key=$(value sslkey) crl=$(value sslcrl)
for f in $(sed -n 's/^ssl[a-z]*=\//\//p' .pg_service.conf); do [ -s "$f" ] || echo "$f is missing"; done
[ -z "$crt" ] || [ "$(openssl x509 -in "$crt" -noout -pubkey)" = "$(openssl pkey -in "$key" -pubout)" ] || echo "$crt and $key do not belong together"
true`)
	if out != "" {
		w.t.Fatalf("%s: %s\n%s", what, out, w.sb.ReadFile("/home/app/.pg_service.conf"))
	}
}

// clientLeft fails when stopped runs left keys or files behind.
func (w *world) clientLeft(what string, versions int) {
	w.t.Helper()
	out := w.sb.Shell(`cd /home/app && ls .postgresql/pgfleet/dbuser1/v | wc -l; find . -name '*new' -o -name '*.union' -o -name request.*`)
	if out != fmt.Sprint(versions) {
		w.t.Fatalf("%s: %s versions and leftovers, want %d and none", what, out, versions)
	}
}

// emptyClient takes everything away that a run made on the client.
func (w *world) emptyClient() {
	w.sb.Shell("rm -rf /home/app/.postgresql /home/app/.pg_service.conf")
	w.client.View = &View{}
	w.ca.issued, w.ca.given = nil, map[string]*x509.Certificate{}
	w.steps = 0
}

func TestClientCutAtEveryStep(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5432)
	for k := 1; ; k++ {
		w.emptyClient()
		w.cut = k
		_, err := w.follow(clientFlow)
		if err == nil {
			t.Logf("%d steps", k-1)
			return
		}
		what := fmt.Sprintf("cut before step %d", k)
		w.clientWhole(what)
		w.finish(what, clientFlow)
		w.clientWhole(what)
		w.clientLeft(what, 1)
		if len(w.ca.issued) != 1 {
			t.Fatalf("%s: %d certificates issued", what, len(w.ca.issued))
		}
	}
}

// killed runs a flow with the program of each step killed at every stride-th of its commands, each time in a fresh world.
func killed(t *testing.T, flow []flowStep, stride int, fresh func() *world, after func(w *world, what string)) {
	t.Helper()
	for step, command := 1, 1; ; command += stride {
		w := fresh()
		w.steps, w.kill, w.killCommand = 0, step, command
		_, err := w.follow(flow)
		if err == nil {
			if command == 1 && w.steps < step {
				return
			}
			step, command = step+1, 1-stride // that program has fewer commands, or is none of ours
			continue
		}
		after(w, fmt.Sprintf("step %d killed at command %d", step, command))
	}
}

func TestClientKilledAnywhere(t *testing.T) {
	stride := 13
	if testing.Short() {
		stride = 60
	}
	n := 0
	shared := newWorld(t)
	shared.serverSeen(5432)
	killed(t, clientFlow, stride, func() *world {
		shared.emptyClient()
		return shared
	}, func(w *world, what string) {
		n++
		w.clientWhole(what)
		w.finish(what, clientFlow)
		w.clientWhole(what)
		w.clientLeft(what, 1)
	})
	if n == 0 {
		t.Error("nothing was killed")
	}
	t.Log(n, "times")
}

var serverFlow = []flowStep{{onServer, "certificate", serverCertificate}, {onServer, "trust", serverTrusts}}

// A run on a server stopped before any of its steps leaves a server that restarts, and the next run finishes.
func TestServerCutAtEveryStep(t *testing.T) {
	w := newWorld(t)
	w.startPostgres()
	w.sb.Shell("cp -a /etc/postgresql /tmp/postgresql")
	for k := 1; ; k++ {
		w.sb.Shell("rm -rf /etc/pgfleet /etc/postgresql && cp -a /tmp/postgresql /etc/postgresql")
		w.server.View, w.steps, w.cut = &View{}, 0, k
		w.ca.issued, w.ca.given = nil, map[string]*x509.Certificate{}
		_, err := w.follow(serverFlow)
		if err == nil {
			t.Logf("%d steps", k-1)
			return
		}
		what := fmt.Sprintf("cut before step %d", k)
		w.reload()
		w.finish(what, serverFlow)
		if got := w.sb.Shell("ls /etc/pgfleet/15-main/v | wc -l; find /etc/pgfleet -name '*new' -o -name request.*"); got != "1" {
			t.Fatalf("%s: versions and leftovers: %s", what, got)
		}
		if len(w.ca.issued) != 1 {
			t.Fatalf("%s: %d certificates issued", what, len(w.ca.issued))
		}
	}
}

// The same with the program of a step killed in the middle; what is on disk then must be fit for a start.
func TestServerKilledAnywhere(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	w := newWorld(t)
	w.startPostgres()
	w.sb.Shell("cp -a /etc/postgresql /tmp/postgresql")
	n := 0
	killed(t, serverFlow, 120, func() *world {
		w.sb.Shell("rm -rf /etc/pgfleet /etc/postgresql && cp -a /tmp/postgresql /etc/postgresql")
		w.server.View, w.steps = &View{}, 0
		return w
	}, func(w *world, what string) {
		n++
		w.kill = 0
		w.reload()
		w.finish(what, serverFlow)
	})
	if n == 0 {
		t.Error("nothing was killed")
	}
	t.Log(n, "times")
}
