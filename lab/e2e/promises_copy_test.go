package e2e_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/lab"
)

// dataFolder empties a stopped server's data folder and fills it with a copy of another server.
const dataFolder = `pg_ctlcluster 15 main stop -m fast
find /var/lib/postgresql/15/main -mindepth 1 -delete
runuser -u postgres -- env PGPASSWORD=known-to-all /usr/lib/postgresql/15/bin/pg_basebackup -w -D /var/lib/postgresql/15/main -X stream -c fast -R \
  -d "host=$1 user=standby sslmode=require"
pg_ctlcluster 15 main start`

// rewind makes a server that went its own way follow another one.
const rewind = `pg_ctlcluster 15 main stop -m fast
runuser -u postgres -- env PGPASSWORD=known-to-all /usr/lib/postgresql/15/bin/pg_rewind -D /var/lib/postgresql/15/main -R --source-server="host=$1 user=standby dbname=postgres sslmode=require" 2>&1
pg_ctlcluster 15 main start`

// TestCopies makes a standby of a managed server with pg_basebackup, lets it take over, and brings the old primary back with pg_rewind. Each copy starts, and pgfleet goes on
// managing both.
func TestCopies(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 2, Client: 1})
	f.sql(t, "db1", "create role standby replication login password 'known-to-all'")
	f.sql(t, "db1", `grant execute on function pg_ls_dir(text, boolean, boolean), pg_stat_file(text, boolean), pg_read_binary_file(text), pg_read_binary_file(text, bigint, bigint, boolean) to standby`)
	f.sql(t, "db1", "alter system set wal_log_hints = on")      // what pg_rewind wants
	f.sql(t, "db1", "alter system set wal_keep_size = '256MB'") // and the log since the copy
	f.starts(t, "db1")
	var lines []string
	for _, db := range []string{"db1", "db2"} {
		for _, what := range []string{"replication", "postgres"} {
			lines = append(lines, "hostssl "+what+" standby "+f.addr(t, db)+"/32 scram-sha-256")
		}
	}
	exceptions, err := json.Marshal(lines)
	if err != nil {
		t.Fatal(err)
	}
	run := []string{"-e", "exceptions:=" + string(exceptions)}
	f.finishes(t, run...)

	if out, err := f.psql(t, "db2", "host="+f.addr(t, "db1")+" user=standby dbname=postgres replication=true sslmode=disable password=known-to-all", "IDENTIFY_SYSTEM"); err == nil {
		t.Errorf("replication without TLS is let in: %s", out)
	}
	f.sh(t, "db2", dataFolder, f.addr(t, "db1"))
	f.follows(t, "db2", "db1")
	f.noKeys(t, "db2")
	f.finishes(t, run...) // the copy is a standby: nothing is created there
	if f.sql(t, "db2", "select pg_is_in_recovery()") != "t" {
		t.Error("db2 is no standby any more")
	}

	f.sql(t, "db2", "select pg_promote()")
	f.sql(t, "db2", "checkpoint") // pg_rewind reads the new time line from the control file
	f.sql(t, "db2", "create table here as select 2")
	f.sql(t, "db1", "create table there as select 1")
	said := f.sh(t, "db1", rewind, f.addr(t, "db2"))
	if !strings.Contains(said, "Done!") {
		t.Errorf("pg_rewind says %s", said)
	}
	f.follows(t, "db1", "db2")
	f.noKeys(t, "db1")
	f.finishes(t, run...)
	for _, db := range []string{"db1", "db2"} {
		f.starts(t, db)
		if err := f.byService(t, db, "app1"); err != nil {
			t.Errorf("%s: %v", db, err)
		}
	}
}

// follows sees that a server streams from another one what is written there.
func (f *fleet) follows(t *testing.T, standby, primary string) {
	t.Helper()
	f.sql(t, primary, "create table if not exists beat as select 1")
	lsn := f.sql(t, primary, "select pg_current_wal_lsn()")
	f.sh(t, standby, `n=0; until [ "$(runuser -u postgres -- `+psqlPath+` -XAtc "select pg_is_in_recovery() and pg_last_wal_replay_lsn() >= '$1'")" = t ]; do n=$((n + 1)); [ $n -lt 300 ]; sleep 0.1; done`, lsn)
	if got := f.sql(t, primary, "select count(*) from pg_stat_replication join pg_stat_ssl using (pid) where state = 'streaming' and ssl"); got != "1" {
		t.Errorf("%s has %s standbys over TLS, want 1", primary, got)
	}
}

// noKeys sees that no private key travelled with the data.
func (f *fleet) noKeys(t *testing.T, db string) {
	t.Helper()
	if found := f.sh(t, db, "grep -rlsI -e 'PRIVATE KEY-----' /var/lib/postgresql/15 || :"); found != "" {
		t.Errorf("%s: keys in the data folder: %s", db, found)
	}
}
