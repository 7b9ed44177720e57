package playbooks

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/transport"
)

// BenchmarkFleet plans and runs a playbook on 1000 servers and 1000 clients that use all of them: what it costs besides the hosts' own time.
func BenchmarkFleet(b *testing.B) {
	const text = `
hosts:
  ca1: {roles: [root_ca]}
  "db[0001:1000].example.net": {roles: [db_server]}
  "app[0001:1000].example.net": {roles: [client], identities: {app: [app]}}
authorities:
  ca: {host: ca1, subject: "CN=ca", valid_for: 3650d}
`
	const playbook = `
vars: {value: x}
plays:
  - {name: one, hosts: db_server, serial: 25%, tasks: [put: {key: a, value: "{{ value }} {{ host }}"}, put: {key: b, value: y}]}
  - {name: two, hosts: client, tasks: [put: {key: a, value: x}, tried: {}]}
`
	for b.Loop() {
		began := time.Now()
		inv, err := inventory.Parse("inventory.yaml", []byte(text), inventory.Options{SSHConfig: "none"})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "inventory-ms")
		began = time.Now()
		pb, err := parse("f", []byte(playbook), (&world{}).fakeKinds())
		if err != nil {
			b.Fatal(err)
		}
		plan, err := NewPlan(pb, inv, PlanOptions{})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "plan-ms")
		began = time.Now()
		told := 0
		out, err := run(b.Context(), plan, RunOptions{Dial: func(_ context.Context, h *inventory.Host, _ ...transport.Step) (transport.Conn, error) {
			return &box{name: h.Name, values: map[string]string{}, clock: time.Now}, nil
		}, Sink: func(events.Event) { told++ }}, access{withoutAuthorities, caProbe, serverProbe})
		if err != nil || out.Exit != 0 {
			b.Fatal(err, out.Exit)
		}
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "run-ms")
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/1e6, "heap-MB")
		if want := fmt.Sprint(len(plan.Hosts)); want != "2000" || told < 10000 {
			b.Fatal(want, told)
		}
		runtime.KeepAlive(plan)
	}
}
