package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/lab"
)

const (
	patroniData   = "/var/lib/postgresql/15/demo"
	patroniConfig = "/var/lib/postgresql/patroni.yml"
)

// patroniMember takes the host's own server away and starts Patroni: $1 name, $2 own address, $3 the other's. Its members agree among themselves (Raft), so no store is needed.
const patroniMember = `
pg_ctlcluster 15 main stop -m fast
rm -rf /etc/postgresql/15 /var/lib/postgresql/15
install -d -o postgres -g postgres /var/lib/postgresql/15 /var/lib/postgresql/raft
cat >` + patroniConfig + ` <<YAML
scope: demo
name: $1
restapi: {listen: "$2:8008", connect_address: "$2:8008"}
raft: {data_dir: /var/lib/postgresql/raft, self_addr: "$2:2222", partner_addrs: ["$3:2222"]}
bootstrap:
  dcs: {ttl: 30, loop_wait: 1, retry_timeout: 5, postgresql: {use_pg_rewind: true}}
  initdb: [{encoding: UTF8}, data-checksums]
  pg_hba: ["host replication replicator 10.0.0.0/8 scram-sha-256", "host all all 10.0.0.0/8 scram-sha-256"]
postgresql:
  listen: "0.0.0.0:5432"
  connect_address: "$2:5432"
  data_dir: ` + patroniData + `
  bin_dir: /usr/lib/postgresql/15/bin
  use_unix_socket: true
  authentication:
    superuser: {username: postgres, password: patroni-lab-superuser}
    replication: {username: replicator, password: patroni-lab-replicator}
  parameters: {unix_socket_directories: /var/run/postgresql}
YAML
chown postgres: ` + patroniConfig + `
chmod 600 ` + patroniConfig + `
cd /var/lib/postgresql
HOME=/var/lib/postgresql setsid setpriv --reuid postgres --regid postgres --init-groups patroni ` + patroniConfig + ` >/var/log/patroni.log 2>&1 </dev/null &
`

// members waits until Patroni's members are one leader, as named ("" for any), and one standby that streams from it, and gives the leader.
func (f *fleet) members(t *testing.T, leader string) string {
	t.Helper()
	return f.sh(t, "db1", `n=0
		until leader=$(patronictl -c `+patroniConfig+` list -f tsv 2>/dev/null | awk -F '\t' -v want="$1" '
			/Leader.*running/ && (want == "" || $2 == want) { leader = $2 }
			/Replica.*(running|streaming)/ && $NF == 0 { standby = 1 }
			END { if (leader != "" && standby) print leader; else exit 1 }'); do
			n=$((n + 1)); [ $n -lt 120 ] || { patronictl -c `+patroniConfig+` list >&2; tail -n 20 /var/log/patroni.log >&2; exit 1; }
			sleep 0.5
		done
		echo "$leader"`, leader)
}

// patronictl runs one of its commands on a host.
func (f *fleet) patronictl(t *testing.T, args ...string) {
	t.Helper()
	f.sh(t, "db1", `patronictl -c `+patroniConfig+` "$@"`, args...)
}

// applied does with what pgfleet printed as its user does, and waits until Patroni has written the rules.
func (f *fleet) applied(t *testing.T, out string) {
	t.Helper()
	_, text, ok := strings.Cut(out, "postgresql:\n")
	if !ok {
		t.Fatalf("nothing to apply:\n%s", out)
	}
	yaml := "postgresql:\n"
	for line := range strings.Lines(text) {
		switch line = strings.TrimSpace(line); {
		case line == "pg_hba:":
			yaml += "  pg_hba:\n"
		case strings.HasPrefix(line, "- '"):
			yaml += "  " + line + "\n"
		default:
			line = ""
		}
		if line == "" {
			break
		}
	}
	f.sh(t, "db1", `printf '%s' "$1" >/tmp/apply.yml; patronictl -c `+patroniConfig+` edit-config demo --apply /tmp/apply.yml --force`, yaml)
	for _, host := range []string{"db1", "db2"} {
		f.sh(t, host, `n=0; until grep -q "overwritten by Patroni" $1 && grep -q "BEGIN pgfleet" $1; do n=$((n + 1)); [ $n -lt 120 ]; sleep 0.5; done`, patroniData+"/pg_hba.conf")
	}
}

// TestPatroni runs the whole job on servers of a real Patroni, and again after what happens to such servers.
func TestPatroni(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 2, Client: 1})
	for i, host := range []string{"db1", "db2"} {
		f.sh(t, host, patroniMember, host, f.addr(t, host), f.addr(t, []string{"db2", "db1"}[i]))
	}
	leader := f.members(t, "")
	standby := map[string]string{"db1": "db2", "db2": "db1"}[leader]
	written := f.sh(t, "db1", "cat "+patroniData+"/postgresql.conf")

	// The stream of before is without TLS: it is named, not cut. Once it has connected again, everything goes on.
	f.want(t, 2, []string{"session open now: role replicator, database replication, from " + f.addr(t, standby) + ", without TLS (with TLS it would be admitted"}, "run", shipped)
	f.reconnects(t, leader)
	f.members(t, leader)
	f.finishes(t)
	if now := f.sh(t, "db1", "cat "+patroniData+"/postgresql.conf"); now != written {
		t.Errorf("what Patroni writes was changed:\n%s", now)
	}

	// The standby leads; the old leader comes back with the same settings and rules.
	f.patronictl(t, "switchover", "demo", "--master", leader, "--candidate", standby, "--force")
	f.members(t, standby)
	f.finishes(t)
	if got := f.streams(t, leader, standby); got != "replicator|t||" {
		t.Errorf("%s streams as %q", leader, got)
	}

	// A member that is made anew where pgfleet has not been: it starts, and the next run sets it up.
	f.sh(t, leader, "rm -r /etc/pgfleet")
	f.patronictl(t, "reinit", "demo", leader, "--force", "--wait")
	f.members(t, standby)
	if got := f.sql(t, leader, "show ssl"); got != "off" {
		t.Errorf("ssl is %s", got)
	}
	f.reconnects(t, standby)
	f.finishes(t)

	// Patroni gets rules of its own: pgfleet says which, and knows them again.
	f.sh(t, "db1", `printf '%s\n' 'postgresql: {pg_hba: ["local all all peer", "host replication replicator 10.0.0.0/8 scram-sha-256", "host all all 10.0.0.0/8 scram-sha-256"]}' >/tmp/own.yml
		patronictl -c `+patroniConfig+` edit-config demo --apply /tmp/own.yml --force`)
	for _, host := range []string{"db1", "db2"} {
		f.sh(t, host, `n=0; until grep -q "overwritten by Patroni" $1; do n=$((n + 1)); [ $n -lt 120 ]; sleep 0.5; done`, patroniData+"/pg_hba.conf")
	}
	out := f.want(t, 2, []string{patroniData + "/pg_hba.conf is written by patroni"}, "run", shipped)
	f.applied(t, out)
	f.finishes(t)
	f.want(t, 0, nil, "rotate", "-l", "db_server", "--force")
	f.finishes(t)
	for _, host := range []string{"db1", "db2"} {
		if got := f.sh(t, host, "grep -c pgfleet "+patroniData+"/postgresql.conf || :"); got != "0" {
			t.Error(fmt.Sprint(host, ": ", got, " lines of pgfleet's in Patroni's file"))
		}
	}
}
