package e2e_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/lab"
	"github.com/pgfleet/pgfleet/lab/labtest"
)

// ownRules are what a DBA may have in pg_hba.conf: {net} is the lab's network, {app1} and {app2} are addresses of clients, {ca1} of a host that is no client.
const ownRules = `local all postgres peer
host app,sales trusted {net} trust
host app other {net} scram-sha-256
host all rejected {app2}/32 reject
hostssl sales tlsonly {net} scram-sha-256
hostnossl sales plainonly {ca1}/32 scram-sha-256
host all all {app2}/32 scram-sha-256
host replication repl {app1}/32 scram-sha-256
host all other 127.0.0.1/32 scram-sha-256
host all rejected all reject
`

// matrixUsers exist on the server, all with the same password. dbuser1 is the one that the inventory declares.
var matrixUsers = []string{"dbuser1", "trusted", "other", "rejected", "tlsonly", "plainonly", "repl", "stranger", "postgres"}

// matrixPassword is what everybody knows, so that only the rules decide.
const matrixPassword = "known-to-all"

// attempts makes one connection for each line "user database sslmode certificate" and answers with the line and how it ended.
const attempts = `while read -r user db mode certificate; do
  to="host=$1 dbname=$db"
  [ "$db" != replication ] || to="host=$1 dbname=postgres replication=true"
  case $certificate in none) to="$to sslcert=/none sslkey=/none" ;; *) to="service=$certificate@db1 $to sslrootcert=/none" ;; esac
  if said=$("$2" -XAtw -d "$to user=$user sslmode=$mode connect_timeout=20" -c 'IDENTIFY_SYSTEM' 2>&1 </dev/null); then end=admitted; else
    case $said in *'syntax error'*) end=admitted ;; *': FATAL: '*) end=refused ;; *) end=$said ;; esac
  fi
  echo "$user $db $mode $certificate $end" | tr '\n' ' '
  echo
done`

// matrix tries everybody's way into everything from everywhere and gives how each attempt ended: "app1 dbuser1 sales require none" to "admitted" or "refused".
func (f *fleet) matrix(t *testing.T, certificates bool) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, place := range []string{"app1", "app2", "ca1", "db1"} {
		var lines strings.Builder
		for _, user := range matrixUsers {
			for _, db := range []string{"app", "sales", "postgres", "replication"} {
				for _, mode := range []string{"disable", "require"} {
					fmt.Fprintln(&lines, user, db, mode, "none")
					if certificates && mode == "require" && strings.HasPrefix(place, "app") {
						fmt.Fprintln(&lines, user, db, mode, "dbuser1")
					}
				}
			}
		}
		to := f.addr(t, "db1")
		if place == "db1" {
			to = "127.0.0.1"
		}
		text := labtest.Feed(t, f.lab, place, lines.String(), "runuser", "-u", "postgres", "--", "env", "-i", "HOME="+home, "LC_ALL=C", "PATH=/usr/bin:/bin", "PGPASSWORD="+matrixPassword,
			"sh", "-c", attempts, "sh", to, psqlPath)
		for line := range strings.Lines(text) {
			w := strings.Fields(line)
			if end := w[len(w)-1]; len(w) != 5 || end != "admitted" && end != "refused" {
				t.Fatalf("%s: not judged: %s", place, line)
			}
			out[place+" "+strings.Join(w[:4], " ")] = w[4]
		}
	}
	return out
}

// TestNobodyNewIsAdmitted tries users, databases, places and ways against a real server before and after, stage by stage: whoever is let in afterwards and was not before
// is declared, and shows what the stage wants.
func TestNobodyNewIsAdmitted(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 1, Client: 2})
	for _, user := range matrixUsers {
		f.sql(t, "db1", map[bool]string{true: "alter", false: "create"}[user == "postgres"]+" role "+user+" login password '"+matrixPassword+"'")
	}
	f.sql(t, "db1", "alter role repl replication")
	f.sql(t, "db1", "create database app")
	f.sql(t, "db1", "create database sales")
	rules := strings.NewReplacer("{net}", f.lab.Subnet(), "{app1}", f.addr(t, "app1"), "{app2}", f.addr(t, "app2"), "{ca1}", f.addr(t, "ca1")).Replace(ownRules)
	labtest.Feed(t, f.lab, "db1", rules, "sh", "-c", "cat >"+hba+" && pg_ctlcluster 15 main reload")
	if wrong := f.sql(t, "db1", "select * from pg_hba_file_rules where error is not null"); wrong != "" {
		t.Fatal(wrong)
	}
	before := f.matrix(t, false)
	tally(t, "before", before)
	for _, stage := range []string{"permissive", "password", "verify-full", "cert"} {
		t.Run(stage, func(t *testing.T) {
			f.want(t, 0, nil, "run", shipped, "-e", "enforce="+stage, "--accept-refusals", "--verify", "none")
			after := f.matrix(t, true)
			tally(t, stage, after)
			for _, way := range slices.Sorted(maps.Keys(after)) {
				if after[way] == "admitted" && !admitted(before, way) && !declared(stage, way) {
					t.Errorf("%s is admitted and was not before", way)
				}
			}
			expectWays(t, stage, after)
		})
	}
}

// admitted tells whether the same user could get in from the same place the same way before. A certificate alone is no other way: the password goes with it.
func admitted(ends map[string]string, way string) bool {
	w := strings.Fields(way)
	w[4] = "none"
	return ends[strings.Join(w, " ")] == "admitted"
}

// declared tells whether the inventory and the stage allow this way: dbuser1, from a client, over TLS, to any database, with what the stage asks for.
func declared(stage, way string) bool {
	w := strings.Fields(way)
	place, user, db, mode, certificate := w[0], w[1], w[2], w[3], w[4]
	if user != "dbuser1" || db == "replication" || !strings.HasPrefix(place, "app") || mode != "require" || stage == "permissive" {
		return false
	}
	return certificate == "dbuser1" || stage == "password"
}

// expectWays sees that the stage does what it is for.
func expectWays(t *testing.T, stage string, ends map[string]string) {
	t.Helper()
	want := map[string]string{"app1 stranger app require none": "refused", "app1 trusted app require none": "admitted", "app1 dbuser1 replication require dbuser1": "refused",
		"db1 other app require none": "admitted", "db1 stranger app disable none": "refused"}
	if stage != "permissive" {
		want["app1 trusted app disable none"] = "refused"
		want["app1 dbuser1 app require dbuser1"] = "admitted"
		want["ca1 dbuser1 app require none"] = "refused"
		want["app1 repl replication disable none"] = "refused"
	}
	if stage == "cert" || stage == "verify-full" {
		want["app2 dbuser1 app require none"] = "refused"
	}
	for way, end := range want {
		if ends[way] != end {
			t.Errorf("%s: %s is %q, want %s", stage, way, ends[way], end)
		}
	}
}

func tally(t *testing.T, name string, ends map[string]string) {
	t.Helper()
	count := map[string]int{}
	for _, end := range ends {
		count[end]++
	}
	t.Logf("%s: %d ways tried: %v", name, len(ends), count)
	if count["admitted"] == 0 || count["refused"] == 0 {
		t.Errorf("%s: a matrix in which all ways end alike shows nothing", name)
	}
}
