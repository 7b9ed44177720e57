package e2e_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/lab"
)

// replicatorFile is what primary_conninfo names.
const replicatorFile = home + "/.postgresql/pgfleet/replicator/replication.pem"

// TestStandbys has a primary and two standbys replicate over mutual TLS, through everything that happens to such a fleet.
func TestStandbys(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 3, Client: 1, Standby: 2})
	// db2's was written by hand.
	f.sh(t, "db2", `auto=/var/lib/postgresql/15/main/postgresql.auto.conf
		grep ^primary_conninfo $auto >>/etc/postgresql/15/main/postgresql.conf
		sed -i '/^primary_conninfo/d' $auto
		pg_ctlcluster 15 main restart`)
	for _, part := range []struct {
		name string
		do   func(*testing.T, *fleet)
	}{
		{"nobody is refused", permissiveStandbys},
		{"a stream that would be cut", streamInClear},
		{"mutual TLS", standbysByCertificate},
		{"rotation", rotateStandbys},
		{"revocation", revokeStandby},
		{"another primary", promoteStandby},
		{"another authority", replaceStandbys},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.do(t, f) }) {
			t.FailNow()
		}
	}
}

// streams waits until a standby replays what its primary writes, and gives what the primary sees of the stream: "user|ssl|serial|CN".
func (f *fleet) streams(t *testing.T, standby, primary string) string {
	t.Helper()
	lsn := f.sql(t, primary, "create table if not exists beat (at timestamptz); insert into beat values (now()); select pg_current_wal_lsn()")
	lsn = lsn[strings.LastIndex(lsn, "\n")+1:]
	f.sh(t, standby, `n=0; until [ "$(runuser -u postgres -- `+psqlPath+` -XAtc "select pg_is_in_recovery() and pg_last_wal_replay_lsn() >= '$1'")" = t ]; do n=$((n + 1)); [ $n -lt 300 ]; sleep 0.1; done`, lsn)
	return f.sh(t, primary, `n=0; until out=$(runuser -u postgres -- `+psqlPath+` -XAtc "select usename, ssl, coalesce(client_serial::text, ''), coalesce(client_dn, '') from pg_stat_replication join pg_stat_ssl using (pid)
		where state = 'streaming' and client_addr = '$1'") && [ -n "$out" ]; do n=$((n + 1)); [ $n -lt 300 ]; sleep 0.1; done; echo "$out"`, f.addr(t, standby))
}

// withCertificate is what a primary sees of a standby that shows the certificate of its file.
func (f *fleet) withCertificate(t *testing.T, standby string) string {
	t.Helper()
	return fmt.Sprintf("replicator|t|%s|/CN=replicator", decimal(t, f.sh(t, standby, "openssl x509 -noout -serial -in "+replicatorFile)))
}

// expectStreams sees that standbys stream with the certificates of their files.
func (f *fleet) expectStreams(t *testing.T, primary string, standbys ...string) {
	t.Helper()
	for _, s := range standbys {
		if got, want := f.streams(t, s, primary), f.withCertificate(t, s); got != want {
			t.Errorf("%s streams from %s as %q, want %q", s, primary, got, want)
		}
	}
}

// reconnects cuts the streams of a primary, so that standbys show what they have now.
func (f *fleet) reconnects(t *testing.T, primary string) {
	t.Helper()
	pids := f.sql(t, primary, "with s as materialized (select pid from pg_stat_replication) select string_agg(pid::text, ',') from s where pg_terminate_backend(pid)")
	f.sh(t, primary, `n=0; until [ "$(runuser -u postgres -- `+psqlPath+` -XAtc "select count(*) from pg_stat_replication where pid in ($1)")" = 0 ]; do n=$((n + 1)); [ $n -lt 300 ]; sleep 0.1; done`, pids)
}

func permissiveStandbys(t *testing.T, f *fleet) {
	for _, s := range []string{"db2", "db3"} {
		if got := f.streams(t, s, "db1"); got != "replicator|t||" {
			t.Fatalf("%s streams as %q at the beginning", s, got)
		}
	}
	out := f.want(t, 0, nil, "run", shipped, "-e", "enforce=permissive", "--diff")
	f.expectStreams(t, "db1", "db2", "db3")
	if strings.Contains(out, "replicator-lab-password") {
		t.Error("a password is shown")
	}
	if got := f.sh(t, "db2", "grep -c '^primary_conninfo.*sslcert=' /etc/postgresql/15/main/postgresql.conf; grep -c ^primary_conninfo /var/lib/postgresql/15/main/postgresql.auto.conf || :"); got != "1\n0" {
		t.Errorf("what was written by hand is not where it was: %s", got)
	}
	if got := f.sh(t, "db3", "stat -c '%U %a' /etc/pgfleet/15-main/primary_conninfo.before; grep -c sslmode=prefer /etc/pgfleet/15-main/primary_conninfo.before"); got != "root 600\n1" {
		t.Errorf("what it was before: %s", got)
	}
	f.finishes(t, "-e", "enforce=permissive")
}

// streamInClear: somebody has a standby stream in clear again. Rules that would cut it are refused, and it goes on.
func streamInClear(t *testing.T, f *fleet) {
	f.sql(t, "db3", "alter system set primary_conninfo = 'host="+f.addr(t, "db1")+" user=replicator passfile=/var/lib/postgresql/.pgpass sslmode=disable'")
	f.sql(t, "db3", "select pg_reload_conf()")
	f.reconnects(t, "db1")
	if got := f.streams(t, "db3", "db1"); got != "replicator|f||" {
		t.Fatalf("db3 streams as %q", got)
	}
	f.want(t, 2, []string{"standby db3.example.net, cluster 15/main, does not show its certificate yet and could not connect again: put postgres_replication before this task"},
		"task", "postgres_hba", "-l", "db1.example.net", "enforce=cert")
	if got := f.streams(t, "db3", "db1"); got != "replicator|f||" {
		t.Errorf("db3 streams as %q", got)
	}
	// A value with which no login works is not set.
	before := f.sql(t, "db3", "show primary_conninfo")
	f.sh(t, "db3", "mv $1 $1.away; openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=none -keyout /dev/null -out $1 2>/dev/null; chown postgres $1", home+"/.postgresql/pgfleet/replicator/root.crt")
	f.want(t, 2, []string{"does not work, so primary_conninfo was left as it is: refused: server certificate not trusted"}, "task", "postgres_replication", "-l", "db3.example.net")
	f.sh(t, "db3", "mv $1.away $1", home+"/.postgresql/pgfleet/replicator/root.crt")
	if after := f.sql(t, "db3", "show primary_conninfo"); after != before {
		t.Errorf("primary_conninfo was %s, is %s", before, after)
	}
}

func standbysByCertificate(t *testing.T, f *fleet) {
	f.finishes(t)
	f.expectStreams(t, "db1", "db2", "db3")
	f.reconnects(t, "db1")
	f.expectStreams(t, "db1", "db2", "db3")
	made := 0
	for cluster, checks := range f.testsMade(t) {
		for _, check := range checks {
			if check == "replication" {
				made++
			}
		}
		if !slices.Contains(checks, "replication no-tls") || !slices.Contains(checks, "replication no-certificate") {
			t.Errorf("%s: no refusal of replication among %v", cluster, checks)
		}
	}
	if made != 6 {
		t.Errorf("%d logins for replication were tested, want one for each two servers and direction: 6", made)
	}
	// The password alone opens nothing any more, over TLS or not.
	for _, mode := range []string{"disable", "require"} {
		if out, err := f.psql(t, "db3", "host="+f.addr(t, "db1")+" user=replicator replication=true passfile=/var/lib/postgresql/.pgpass sslmode="+mode, "IDENTIFY_SYSTEM"); err == nil {
			t.Errorf("sslmode=%s: the password is enough: %s", mode, out)
		}
	}
	f.want(t, 0, []string{"/replicator/v/"}, "certs")
}

// order gives the hosts whose certificates a run has renewed, servers' first, in the order of its events.
func order(t *testing.T, out string) (servers, clients []string) {
	t.Helper()
	for line := range strings.Lines(out) {
		var e struct{ Type, Kind, Play, Host, Task string }
		if json.Unmarshal([]byte(line), &e) != nil || e.Type != "task" || e.Kind != "changed" || e.Task != "certificate" {
			continue
		}
		host, _, _ := strings.Cut(e.Host, ".")
		if e.Play == "Servers" {
			servers = append(servers, host)
		} else {
			clients = append(clients, host)
		}
	}
	return servers, clients
}

func rotateStandbys(t *testing.T, f *fleet) {
	before := f.withCertificate(t, "db2")
	out := f.want(t, 0, nil, "rotate", "--force", "-l", "db_server,client", "-o", "jsonl")
	if servers, clients := order(t, out); len(servers) != 3 || servers[2] != "db1" || len(clients) != 4 {
		t.Errorf("renewed in the order %v and %v: the primary is not last, or not all are:\n%s", servers, clients, out)
	}
	if f.withCertificate(t, "db2") == before {
		t.Error("db2 has the certificate for replication of before")
	}
	f.reconnects(t, "db1")
	f.expectStreams(t, "db1", "db2", "db3")
	if out := f.want(t, 0, nil, "rotate"); out != "" {
		t.Errorf("nothing is due, and it says:\n%s", out)
	}
}

func revokeStandby(t *testing.T, f *fleet) {
	before := f.withCertificate(t, "db3")
	f.want(t, 0, nil, "revoke", "--host", "db3.example.net", "--name", "replicator", "--reason", "superseded", "-y")
	service := func(host string) (string, error) {
		return f.psql(t, host, "service=replicator@db1 replication=true", "IDENTIFY_SYSTEM")
	}
	if out, err := service("db3"); err == nil || !strings.Contains(out+err.Error(), "certificate revoked") {
		t.Errorf("a new connection with the revoked certificate: %s %v", out, err)
	}
	if out, err := service("db2"); err != nil {
		t.Errorf("db2's is not revoked, and is refused: %s %v", out, err)
	}
	f.finishes(t)
	if f.withCertificate(t, "db3") == before {
		t.Error("db3 still has the certificate that was revoked")
	}
	f.reconnects(t, "db1")
	f.expectStreams(t, "db1", "db2", "db3")
}

// promoteStandby makes db2 the primary: db3 is pointed at it, and db1 copied from it, both with what they have.
func promoteStandby(t *testing.T, f *fleet) {
	f.sh(t, "db1", "pg_ctlcluster -m fast 15 main stop")
	f.sql(t, "db2", "select pg_promote()")
	f.sql(t, "db3", "alter system set primary_conninfo = '"+strings.ReplaceAll(f.sql(t, "db3", "show primary_conninfo"), f.addr(t, "db1"), f.addr(t, "db2"))+"'")
	f.sql(t, "db3", "select pg_reload_conf()")
	f.expectStreams(t, "db2", "db3")
	f.sh(t, "db1", `rm -rf /var/lib/postgresql/15/main
		runuser -u postgres -- env -i HOME=`+home+` PATH=/usr/bin:/bin /usr/lib/postgresql/15/bin/pg_basebackup -R -c fast -D /var/lib/postgresql/15/main -d service=replicator@db2
		pg_ctlcluster 15 main start`)
	// What -R has written names the files of a version.
	f.want(t, 0, []string{"changed db1.example.net: cluster 15/main streams as replicator with verified TLS and its certificate"}, "rotate")
	f.finishes(t)
	f.expectStreams(t, "db2", "db1", "db3")
	out := f.want(t, 0, nil, "rotate", "--force", "-l", "db_server", "-o", "jsonl")
	if servers, _ := order(t, out); len(servers) != 3 || servers[2] != "db2" {
		t.Errorf("renewed in the order %v: the primary is not last", servers)
	}
	f.reconnects(t, "db2")
	f.expectStreams(t, "db2", "db1", "db3")
}

// replaceStandbys replaces the authority of the standbys' certificates, and no stream has to be ended. One of them names the files of one version, as pg_basebackup -R leaves it: it
// would go on with the old certificate, and be locked out when the authority is dropped.
func replaceStandbys(t *testing.T, f *fleet) {
	cert := f.named(t, "db3", "sslcert")
	if !strings.Contains(cert, "/replicator/v/") {
		t.Fatalf("db3 has its certificate in %s", cert)
	}
	f.sql(t, "db3", fmt.Sprintf("alter system set primary_conninfo = 'host=%s user=replicator sslmode=verify-full sslcert=%s sslkey=%s sslrootcert=%s'", f.addr(t, "db2"),
		cert, strings.TrimSuffix(cert, "crt")+"key", home+"/.postgresql/pgfleet/replicator/root.crt"))
	f.sql(t, "db3", "select pg_reload_conf()")
	f.streams(t, "db3", "db2")
	g := f.with(t, "\nauthorities:\n", "\nauthorities:\n  "+root("clients_g2", "ca1", "clients")+"\n")
	out := g.want(t, 0, nil, "rotate-ca")
	if !strings.Contains(out, "cluster 15/main begins its stream as replicator anew, with its certificate of now") {
		t.Errorf("db1 goes on with the old certificate:\n%s", out)
	}
	g.expectStreams(t, "db2", "db1", "db3")

	// Somebody has db3 show a copy of the old certificate. Ended, its stream would come back with it; stopped, nobody could tell.
	own := f.sql(t, "db3", "show primary_conninfo")
	f.sh(t, "db3", `d=$(dirname "$1") && cat "$d"/*.crt "$d"/client.key >/var/lib/postgresql/copy.pem && chmod 600 /var/lib/postgresql/copy.pem && chown postgres /var/lib/postgresql/copy.pem`, cert)
	f.sql(t, "db3", "alter system set primary_conninfo = '"+strings.ReplaceAll(own, replicatorFile, "/var/lib/postgresql/copy.pem")+"'")
	f.sql(t, "db3", "select pg_reload_conf()")
	f.streams(t, "db3", "db2")
	g.want(t, 2, []string{"open sessions that began with a certificate of it: replicator from "}, "rotate-ca", "--until", "drop", "-y")
	g.want(t, 2, []string{"primary_conninfo of cluster 15/main there names /var/lib/postgresql/copy.pem"}, "rotate-ca", "--until", "drop", "--terminate", "-y")
	f.sh(t, "db3", "pg_ctlcluster -m fast 15 main stop")
	g.want(t, 2, []string{"db3.example.net (cluster 15/main is not running"}, "rotate-ca", "--until", "drop", "--terminate", "-y")
	f.sh(t, "db3", "pg_ctlcluster 15 main start")
	g.want(t, 0, nil, "task", "postgres_replication", "-l", "db3.example.net")
	g.want(t, 0, nil, "rotate-ca", "--until", "drop", "-y")
	g.expectStreams(t, "db2", "db1", "db3")
	g.expectBelieved(t, []string{"clients_g2"}, "ssl_ca_file", "db1", "db2", "db3")
}

// TestStandbyTwelve has PostgreSQL 12, which reads primary_conninfo only when it is started: nobody is refused before the standby was restarted.
func TestStandbyTwelve(t *testing.T) {
	t.Parallel()
	twelve := installations(t)["db1"]
	f := newFleet(t, lab.Options{DB: 2, Standby: 1, PostgreSQL: map[string]string{"db1": twelve, "db2": twelve}})
	f.want(t, 2, []string{"PostgreSQL 12 takes the new primary_conninfo of cluster 12/main when it is restarted", "standby db2.example.net, cluster 12/main, does not show its certificate yet"}, "run", shipped)
	if got := f.streams(t, "db2", "db1"); !strings.HasPrefix(got, "replicator|t||") {
		t.Errorf("db2 streams as %q before it is restarted", got)
	}
	f.reconnects(t, "db1")
	if got := f.streams(t, "db2", "db1"); !strings.HasPrefix(got, "replicator|t||") {
		t.Errorf("db2 streams as %q when it has connected anew", got)
	}
	f.sh(t, "db2", "pg_ctlcluster -m fast 12 main restart")
	f.expectStreams(t, "db1", "db2")
	f.finishes(t)
	before := f.withCertificate(t, "db2")
	f.want(t, 0, nil, "rotate", "--force", "--new-key", "-l", "db_server")
	if f.withCertificate(t, "db2") == before {
		t.Error("db2 has the certificate for replication of before")
	}
	f.reconnects(t, "db1")
	f.expectStreams(t, "db1", "db2")
	f.sh(t, "db2", "pg_ctlcluster -m fast 12 main restart")
	f.expectStreams(t, "db1", "db2")
}
