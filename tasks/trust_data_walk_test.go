package tasks

import (
	"fmt"
	"testing"
)

// fresh brings the server back to the state before any run.
func (w *world) fresh() {
	w.t.Helper()
	w.sb.Shell("[ -e /tmp/postgresql ] || cp -a /etc/postgresql /tmp/postgresql; rm -rf /etc/pgfleet /etc/postgresql " + dataDir + "/*.cr? " + dataDir + "/*pgfleet*; cp -a /tmp/postgresql /etc/postgresql")
	w.server.View, w.steps, w.cut, w.kill = &View{}, 0, 0, 0
	w.reread()
}

// reread has the server read its files as a restart would, only faster; it must accept them.
func (w *world) reread() {
	w.t.Helper()
	w.sb.Shell(`log=/var/log/postgresql/postgresql-15-main.log; n=$(wc -l <$log); kill -HUP $(head -n 1 ` + dataDir + `/postmaster.pid)
until tail -n +$((n + 1)) $log | grep -q SIGHUP; do sleep 0.02; done; sleep 0.1
! tail -n +$((n + 1)) $log | grep -e 'not reloaded' -e 'could not' -e errors`)
}

// uncovered gives the authorities that a server would believe if it started now, and of which it would have no list although it has some.
func (w *world) uncovered() string {
	w.t.Helper()
	return w.sb.Shell(`su postgres -c 'set -e; cd /tmp; at() { /usr/lib/postgresql/15/bin/postgres -D /etc/postgresql/15/main -C "$1"; }
ca=$(at ssl_ca_file) crl=$(at ssl_crl_file)
[ -n "$crl" ] || exit 0
mkdir -p w; cd w; rm -f ./*; openssl crl2pkcs7 -nocrl -certfile $ca | openssl pkcs7 -print_certs -noout | sed -n s/^subject=//p | sort >cas
awk "/BEGIN/{n++} {print > (\"l\" n)}" $crl; for f in l*; do openssl crl -in $f -noout -issuer; done | sed s/^issuer=// | sort >issuers
grep -Fxv -f issuers cas || true'`)
}

// trustChanges are ways from one trust to another.
var trustChanges = []struct {
	name, by string // by: what somebody did by hand before
	from, to map[string]any
}{
	{"other authorities", "", inData("clients"), inData("servers")},
	{"from our folder", "", serverTrusts, inData("servers")},
	{"to our folder", "", inData("clients"), map[string]any{"authorities": []any{"servers"}}},
	{"lists on", "", inData("clients", "crl", "no"), inData("servers")},
	{"lists off", "", inData("clients"), inData("servers", "crl", "no")},
	{"another name", "", inData("clients"), inData("servers", "file", "ca2.crt")},
	{"by hand", `cd ` + dataDir + `; cp -p ca1.crl other.crl; mv ca1.crl /tmp/ca1.crl.gone; sed -i s/ca1.crl/other.crl/ /etc/pgfleet/15-main/pgfleet.conf`, inData("clients"), inData("servers")},
}

// A change stopped before any of its steps leaves a server that starts, with a list for every authority, and the next run finishes.
func TestTrustDataCutAtEveryStep(t *testing.T) {
	for i, c := range trustChanges {
		if testing.Short() && i > 0 {
			break
		}
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.startPostgres()
			to := []flowStep{{onServer, "trust", c.to}}
			for k := 1; ; k++ {
				w.begin(c.from, c.by)
				w.cut = k
				_, err := w.follow(to)
				w.cut = 0
				if got := w.uncovered(); got != "" {
					t.Fatalf("cut before step %d: no list of %s", k, got)
				}
				w.reread()
				if err == nil {
					w.reload()
					t.Logf("%d steps", k-1)
					return
				}
				w.finish(fmt.Sprintf("cut before step %d", k), to)
				w.reread()
				if got := w.sb.Shell("find /etc/pgfleet " + dataDir + " -name '*-new' -o -name '*before-pgfleet'"); got != "" {
					t.Fatalf("cut before step %d: left over: %s", k, got)
				}
			}
		})
	}
}

// begin has the server fresh and follow the first of two trusts.
func (w *world) begin(from map[string]any, by string) {
	w.t.Helper()
	w.fresh()
	w.must(w.server, w.trust(from), true)
	w.sb.Shell(by)
	w.reread()
	w.steps = 0
}

// The same with a program killed in its middle.
func TestTrustDataKilledAnywhere(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	w := newWorld(t)
	w.startPostgres()
	n := 0
	to := []flowStep{{onServer, "trust", inData("servers")}}
	killed(t, to, 25, func() *world {
		w.begin(inData("clients"), "")
		return w
	}, func(w *world, what string) {
		n++
		w.kill = 0
		if got := w.uncovered(); got != "" {
			t.Fatalf("%s: no list of %s", what, got)
		}
		w.reread()
		w.finish(what, to)
	})
	if n == 0 {
		t.Error("nothing was killed")
	}
	t.Log(n, "times")
}
