package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"math/big"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/lab"
)

// reconnect is an application that connects anew again and again: a psql each time, which verifies the server's name, shows its certificate, and says which one the
// server saw. One line a connection: that certificate's serial number, or what psql said. It ends when its file is gone.
const reconnect = `while [ -e "$1" ]; do
	"$2" -XAtw -d "service=dbuser1@$3 dbname=postgres connect_timeout=10" -c 'select client_serial from pg_stat_ssl where pid = pg_backend_pid()' 2>&1 | tr '\n' ' '
	echo
	[ "$4" = 0 ] || sleep "$4"
done`

// connections is how many a load shall make at least: $PGFLEET_LOAD, or 0 for what a single run of pgfleet gives time for.
func connections(t *testing.T) int {
	t.Helper()
	text := os.Getenv("PGFLEET_LOAD")
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("PGFLEET_LOAD: %v", err)
	}
	return n
}

// load is such applications: one on each client for each server.
type load struct {
	f       *fleet
	clients []string
	stop    string
	waiting sync.WaitGroup
	apps    []*app
}

// app is one of them, and what it has said so far.
type app struct {
	client, server string

	mu    sync.Mutex
	said  bytes.Buffer
	ended bool
}

func (a *app) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.said.Write(p)
}

// tries are its connections that have ended, in order.
func (a *app) tries() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	lines := strings.Split(a.said.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines[:len(lines)-1]
}

// begin starts them, and waits until each has connected; they are told to stop when the test ends.
func (f *fleet) begin(t *testing.T, clients, servers []string) *load {
	t.Helper()
	l := &load{f: f, clients: clients, stop: "/tmp/go-on"}
	pause := "0"
	if connections(t) == 0 {
		pause = "0.05" // other tests run at the same time
	}
	for _, client := range clients {
		f.sh(t, client, "touch "+l.stop)
		for _, server := range servers {
			a := &app{client: client, server: server}
			l.apps = append(l.apps, a)
			l.waiting.Go(func() { l.run(context.WithoutCancel(t.Context()), a, pause) })
		}
	}
	t.Cleanup(func() { l.end(t) })
	l.more(t)
	return l
}

func (l *load) run(ctx context.Context, a *app, pause string) {
	code, err := l.f.lab.Run(ctx, a.client, lab.Command{Stdout: a, Stderr: a, Argv: []string{"runuser", "-u", "postgres", "--",
		"env", "-i", "HOME=" + home, "LC_ALL=C", "PATH=/usr/bin:/bin", "sh", "-c", reconnect, "sh", l.stop, psqlPath, a.server, pause}})
	if err != nil || code != 0 {
		fmt.Fprintf(a, "the application ended: exit %d, %v\n", code, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
}

// more waits until each application has made a connection that began after this call.
func (l *load) more(t *testing.T) {
	t.Helper()
	before := map[*app]int{}
	for _, a := range l.apps {
		before[a] = len(a.tries())
	}
	for _, a := range l.apps {
		for i := 0; len(a.tries()) < before[a]+2 && !a.over(); i++ {
			if i == 6000 {
				t.Fatalf("%s has stopped connecting to %s", a.client, a.server)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func (a *app) over() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ended
}

// made is the number of connections so far.
func (l *load) made() int {
	n := 0
	for _, a := range l.apps {
		n += len(a.tries())
	}
	return n
}

// end stops the applications and gives all tries, and those that failed.
func (l *load) end(t *testing.T) (tries, failed []string) {
	t.Helper()
	for _, client := range l.clients {
		_, _ = l.f.lab.Exec(context.WithoutCancel(t.Context()), client, []string{"rm", "-f", l.stop}, strings.NewReader(""))
	}
	l.waiting.Wait()
	for _, a := range l.apps {
		for _, line := range a.tries() {
			tries = append(tries, line)
			if !isSerial(line) {
				failed = append(failed, a.client+" to "+a.server+": "+line)
			}
		}
	}
	return tries, failed
}

// row is a line of a table: what was done how often, and the connections meanwhile.
type row struct {
	name                       string
	times, connections, failed int
}

// add ends a load of which no connection may fail, and counts it.
func (r *row) add(t *testing.T, l *load) {
	t.Helper()
	l.more(t)
	tries, failed := l.end(t)
	r.connections += len(tries)
	r.failed += len(failed)
	if len(failed) > 0 {
		t.Errorf("%d connections, of which %d failed:\n%s", len(tries), len(failed), strings.Join(failed[:min(len(failed), 20)], "\n"))
	}
}

func isSerial(line string) bool { return line != "" && strings.Trim(line, "0123456789") == "" }

// decimal is a serial number as pg_stat_ssl has it, of "serial=HEX".
func decimal(t *testing.T, serial string) string {
	t.Helper()
	number, ok := new(big.Int).SetString(strings.TrimPrefix(serial, "serial="), 16)
	if !ok {
		t.Fatalf("no serial number: %q", serial)
	}
	return number.String()
}
