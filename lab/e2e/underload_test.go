package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/pgfleet/pgfleet/lab"
)

// underLoad is a fleet whose applications never stop connecting, while everything that it has is renewed and replaced.
type underLoad struct {
	*fleet           // as its inventory is now
	all              *fleet
	servers, clients []string
	generations      map[string]*generation
	rows             []row
}

// generation numbers the authorities of one side, "servers" or "clients": its root, and the intermediate below it that signs.
type generation struct{ root, intermediate int }

// TestUnderLoad renews and replaces every part of a fleet while each client reconnects to each server: no connection fails. That all of it was in force meanwhile is seen from outside: what
// servers present and believe, and which certificates they saw. At least $PGFLEET_LOAD connections each time, by doing it again.
func TestUnderLoad(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 2, Client: 2})
	u := &underLoad{all: f, servers: []string{"db1", "db2"}, clients: []string{"app1", "app2"}, generations: map[string]*generation{"servers": {}, "clients": {}}}
	u.now(t)
	u.want(t, 0, nil, "run", shipped, "--verify", "none")
	// Clients have lists, too.
	u.want(t, 0, nil, "task", "trust", "-l", "client", "authorities=servers", "profile=client", "crl=yes")
	for _, part := range []struct {
		name             string
		servers, clients string // facts that change
		do               func(*testing.T)
	}{
		{"leaves renewed, same keys", "certificate", "certificate", u.runs("rotate", "--force", "-l", "db_server,client")},
		{"leaves renewed, new keys", "certificate key", "certificate key", u.runs("rotate", "--force", "--new-key", "-l", "db_server,client")},
		{"lists of revoked certificates renewed", "lists", "lists", u.runs("run", "crl", "-e", "list=new")},
		{"intermediates renewed, and their lists", "chain believed lists", "chain believed lists", func(t *testing.T) {
			u.want(t, 0, nil, "rotate", "--force", "-l", "ca3.example.net")
			u.want(t, 0, nil, "rotate")
		}},
		{"clients' intermediate replaced", "believed lists", "certificate issuer chain", u.replaces("clients", false)},
		{"clients' root replaced", "believed lists", "certificate issuer chain", u.replaces("clients", true)},
		{"servers' intermediate replaced", "certificate issuer chain", "believed lists", u.replaces("servers", false)},
		{"servers' root replaced", "certificate issuer chain", "believed lists", u.replaces("servers", true)},
	} {
		t.Run(part.name, func(t *testing.T) { u.part(t, part.name, part.servers, part.clients, part.do) })
	}
	u.now(t)
	u.want(t, 0, nil, "verify")
	u.want(t, 0, nil, "run", shipped, "--check", "--detailed-exitcode")
	t.Run("a server that is down is noticed", u.control)
	t.Logf("what the applications saw:\n%s", u.table())
}

// part does one thing under load, again until there are enough connections, and sees that it changed these facts of every server and client, and no others.
func (u *underLoad) part(t *testing.T, name, servers, clients string, do func(*testing.T)) {
	before := u.facts(t)
	l := u.begin(t, u.clients, u.servers)
	r := row{name: name}
	for enough := connections(t); r.times == 0 || l.made() < enough && !t.Failed(); r.times++ {
		do(t)
	}
	r.add(t, l)
	u.rows = append(u.rows, r)
	after := u.facts(t)
	for _, host := range slices.Concat(u.servers, u.clients) {
		want := servers
		if slices.Contains(u.clients, host) {
			want = clients
		}
		if got := differ(before[host], after[host]); got != want {
			t.Errorf("%s: changed is %q, want %q", host, got, want)
		}
	}
	// Servers saw the certificate of before first, and that of now in the end.
	for _, a := range l.apps {
		tries := a.tries()
		first, last := tries[0], tries[len(tries)-1]
		if was, is := before[a.client]["certificate"], after[a.client]["certificate"]; first != was || last != is {
			t.Errorf("%s saw certificate %s of %s first and %s in the end, want %s and %s", a.server, first, a.client, last, was, is)
		}
	}
}

// control stops a server under load: a load that cannot fail proves nothing.
func (u *underLoad) control(t *testing.T) {
	l := u.begin(t, u.clients, u.servers)
	u.sh(t, "db2", "pg_ctlcluster 15 main stop -m fast")
	l.more(t)
	u.sh(t, "db2", "pg_ctlcluster 15 main start")
	l.more(t)
	tries, failed := l.end(t)
	u.rows = append(u.rows, row{"for comparison: db2 is down for a moment", 1, len(tries), len(failed)})
	for _, client := range u.clients {
		if !slices.ContainsFunc(failed, func(s string) bool { return strings.HasPrefix(s, client+" to db2: ") }) {
			t.Errorf("db2 was down, and no connection of %s has failed", client)
		}
	}
	for _, line := range failed {
		if strings.Contains(line, " to db1: ") {
			t.Errorf("db1 was up: %s", line)
		}
	}
}

// runs gives what runs one command line.
func (u *underLoad) runs(args ...string) func(*testing.T) {
	return func(t *testing.T) { u.want(t, 0, nil, args...) }
}

// replaces gives what replaces a side's intermediate, or its root and with it the intermediate.
func (u *underLoad) replaces(side string, withRoot bool) func(*testing.T) {
	return func(t *testing.T) {
		next := *u.generations[side]
		next.intermediate++
		if withRoot {
			next.root++
		}
		u.during(t, side, next).want(t, 0, []string{"take it out of", "its key and records stay on"}, "rotate-ca", "--until", "drop", "-y")
		*u.generations[side] = next
		u.now(t)
	}
}

func (g generation) names(side string) (root, intermediate string) {
	return fmt.Sprintf("%s_root_g%d", side, g.root), fmt.Sprintf("%s_g%d", side, g.intermediate)
}

var rootHosts = map[string]string{"clients": "ca1", "servers": "ca2"}

// lines are the authorities of the inventory.
func (u *underLoad) lines() []string {
	var all []string
	for side, host := range rootHosts {
		r, i := u.generations[side].names(side)
		all = append(all, root(r, host, ""), intermediate(i, r, side))
	}
	return all
}

// now gives the fleet its inventory of today, and during that in which a side has successors.
func (u *underLoad) now(t *testing.T) {
	t.Helper()
	u.fleet = u.all.authorities(t, u.lines()...)
}

func (u *underLoad) during(t *testing.T, side string, next generation) *fleet {
	t.Helper()
	oldRoot, old := u.generations[side].names(side)
	newRoot, successor := next.names(side)
	lines := append(u.lines(), intermediate(successor, newRoot, old))
	if newRoot != oldRoot {
		lines = append(lines, root(newRoot, rootHosts[side], oldRoot))
	}
	return u.all.authorities(t, lines...)
}

// factNames are what may change of a host.
var factNames = []string{"certificate", "key", "issuer", "chain", "believed", "lists"}

// facts are those that each server serves and has in force, and each client shows.
func (u *underLoad) facts(t *testing.T) map[string]map[string]string {
	t.Helper()
	const tell = `echo "certificate $(openssl x509 -noout -serial -in "$1")"; echo "key $(openssl x509 -noout -pubkey -in "$1" | sha256sum)"; echo "issuer $(openssl x509 -noout -issuer -in "$1")"
		echo "chain $(sed 1,/END/d "$1" | sha256sum)"; echo "believed $(sha256sum <"$2")"; echo "lists $(sha256sum <"$3")"`
	all := map[string]map[string]string{}
	for _, host := range slices.Concat(u.servers, u.clients) {
		files := []string{"/tmp/served.pem", "", ""}
		if slices.Contains(u.servers, host) {
			u.sh(t, host, `openssl s_client -starttls postgres -showcerts -connect 127.0.0.1:5432 </dev/null 2>/dev/null | sed -n /BEGIN/,/END/p >/tmp/served.pem`)
			files[1], files[2] = u.sql(t, host, "show ssl_ca_file"), u.sql(t, host, "show ssl_crl_file")
		} else {
			for i, name := range []string{"sslcert", "sslrootcert", "sslcrl"} {
				files[i] = u.named(t, host, name)
			}
		}
		all[host] = map[string]string{}
		for line := range strings.Lines(u.sh(t, host, tell, files...)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			all[host][name] = value
		}
		all[host]["certificate"] = decimal(t, all[host]["certificate"])
	}
	return all
}

// differ names the facts that have changed.
func differ(before, after map[string]string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(factNames), func(name string) bool { return before[name] == after[name] }), " ")
}

func (u *underLoad) table() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "what\ttimes\tconnections\tfailed")
	for _, r := range u.rows {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\n", r.name, r.times, r.connections, r.failed)
	}
	w.Flush()
	return text.String()
}
