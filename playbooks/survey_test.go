package playbooks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks/survey"
	"github.com/pgfleet/pgfleet/transport"
)

// looker is a host on which every look fails; it counts round trips and keeps the keys of what it was asked.
type looker struct {
	mu    sync.Mutex
	trips int
	keys  []string
}

func (l *looker) Do(_ context.Context, steps ...transport.Step) ([]transport.Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trips++
	var out []transport.Result
	for _, s := range steps {
		if !s.Probe {
			return nil, errors.New("a change was sent")
		}
		l.keys = append(l.keys, s.Key)
		out = append(out, transport.Result{Key: s.Key, Code: 1, Err: &transport.ExitError{Code: 1, Stderr: []byte("not on this host")}})
	}
	return out, nil
}

func (l *looker) Dial(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("not here")
}

func (l *looker) Close() error { return nil }

func inventoryOf(t *testing.T, text string) *inventory.Inventory {
	t.Helper()
	inv, err := inventory.Parse("inventory.yaml", []byte(text), inventory.Options{SSHConfig: "none"})
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

// TestSurvey: one round trip a host, whatever its roles; a host that is not reached does not keep the others from being looked at; what cannot be seen is named.
func TestSurvey(t *testing.T) {
	inv := inventoryOf(t, `
hosts:
  ca1: {roles: [root_ca]}
  db1: {roles: [db_server]}
  db2: {roles: [db_server]}
  app1: {roles: [client, db_server], identities: {app: [a, b]}}
authorities:
  servers: {host: ca1, subject: "CN=servers"}
  clients: {host: ca1, subject: "CN=clients"}
`)
	hosts := map[string]*looker{"ca1": {}, "db1": {}, "app1": {}}
	var told []string
	seen, out, err := Survey(t.Context(), inv, inv.Hosts, RunOptions{
		Dial: func(_ context.Context, h *inventory.Host, _ ...transport.Step) (transport.Conn, error) {
			if l, ok := hosts[h.Name]; ok {
				return l, nil
			}
			return nil, fmt.Errorf("%w: switched off", transport.ErrUnreachable)
		},
		Sink: func(e events.Event) { told = append(told, string(e.Type)) },
	})
	if err != nil || out.Exit != ExitUnreachable {
		t.Fatalf("exit %d, %v", out.Exit, err)
	}
	for name, want := range map[string]string{"ca1": "authority:clients authority:servers", "db1": "postgres etc-pgfleet",
		"app1": "postgres etc-pgfleet identity:app:a identity:app:b"} {
		if l := hosts[name]; l.trips != 1 || strings.Join(l.keys, " ") != want {
			t.Errorf("%s: %d round trips, asked for %v, want %s", name, l.trips, l.keys, want)
		}
	}
	if len(told) == 0 {
		t.Error("the caller's sink was told nothing")
	}
	var got []string
	for _, u := range seen.Unseen {
		got = append(got, fmt.Sprintf("%s %q %v", u.Host, u.Holder, u.Unreachable))
	}
	want := []string{`db2 "" true`, `ca1 "clients" false`, `ca1 "servers" false`, `db1 "" false`, `app1 "" false`, `app1 "a of app" false`, `app1 "b of app" false`}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("unseen\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if rows := survey.Judge(seen); len(rows) != len(want) || rows[0].State != survey.Unlooked {
		t.Errorf("%+v", rows)
	}
}

// Where nobody is reached there is still something to tell.
func TestSurveyOfNobody(t *testing.T) {
	inv := inventoryOf(t, "hosts:\n  db1: {roles: [db_server]}\n")
	seen, out, err := Survey(t.Context(), inv, inv.Hosts, RunOptions{Dial: func(context.Context, *inventory.Host, ...transport.Step) (transport.Conn, error) {
		return nil, transport.ErrUnreachable
	}})
	if err != nil || out.Exit != ExitUnreachable || len(seen.Unseen) != 1 || seen.Now.IsZero() {
		t.Errorf("%+v, %+v, %v", seen, out, err)
	}
}
