package e2e_test

import (
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/lab"
)

// oddServer has a server speak German, warn on every login of another version of the collation and of what it does, and be read-only by default; names are looked for in a
// schema of somebody else's first.
const oddServer = `localedef -i de_DE -f UTF-8 de_DE.UTF-8
pg_ctlcluster 15 main restart
cd /tmp
PGOPTIONS='-c default_transaction_read_only=off' runuser -u postgres -- ` + psqlPath + ` -XAtq -v ON_ERROR_STOP=1 <<SQL
create schema odd;
create function odd.current_setting(text) returns text language sql as 'select ''odd''::text';
update pg_database set datcollversion = '1.0';
alter role postgres set search_path = odd, pg_catalog;
alter system set lc_messages = 'de_DE.UTF-8';
alter system set default_transaction_read_only = on;
alter system set standard_conforming_strings = off;
alter system set client_min_messages = debug1;
alter system set DateStyle = 'German';
alter system set default_transaction_isolation = serializable;
alter system set track_activities = off;
select pg_reload_conf();
SQL`

// TestOddServers sets up, changes, renews and revokes on a server that is not as one thinks, with an application of www-data, whose home directory is root's.
func TestOddServers(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 1, Client: 1})
	f.sh(t, "db1", oddServer)
	f.sh(t, "app1", "install -d /var/www")
	const www = "/var/lib/pgfleet/www-data"
	app := f.with(t, "identities: {postgres: [dbuser1]}", "identities: {postgres: [dbuser1], www-data: [{user: shop, home: "+www+"}]}")
	app.finishes(t)
	refused, err := f.psql(t, "app1", "host="+f.addr(t, "db1")+" user=dbuser1 dbname=postgres sslmode=require", "select 1")
	if err == nil || !strings.Contains(refused, "Client-Zertifikat") {
		t.Fatalf("the server does not speak German (are PostgreSQL's translations installed?): %s", refused)
	}
	t.Run("the reasons of refusals", func(t *testing.T) {
		app.want(t, 0, []string{" as wanted, 0 differ, 0 not proven"}, "verify")
		_, out := app.pgfleet(t, "verify", "-o", "json")
		got := map[string]string{}
		for _, c := range readDocument(t, out).Cells {
			got[c.Check] = c.Got
		}
		for check, want := range map[string]string{"login": "connects", "no-tls": "refused: pg_hba.conf", "no-certificate": "refused: client certificate wanted"} {
			if got[check] != want {
				t.Errorf("%s: %q, want %q", check, got[check], want)
			}
		}
	})
	t.Run("an application without a home directory", func(t *testing.T) {
		out, err := f.try(t.Context(), "app1", "www-data", "sh", "-ec", `set -a; . "$1/.postgresql/pgfleet/shop/pgfleet.env"; exec "$2" -XAtw -d 'service=shop@db1 dbname=postgres' -c 'select current_user' 2>/dev/null`, "sh", www, psqlPath)
		if err != nil || out != "shop" {
			t.Errorf("%s %v", out, err)
		}
	})
	t.Run("other rules", func(t *testing.T) {
		app.want(t, 0, []string{"0 differ"}, "run", shipped, "-e", "enforce=password")
		app.finishes(t)
	})
	t.Run("renewal and revocation", func(t *testing.T) {
		app.want(t, 0, []string{"renew certificate of shop of www-data"}, "rotate", "--force", "-l", "all")
		app.want(t, 0, nil, "revoke", "--host", "app1.example.net", "--name", "shop", "-y")
		app.want(t, 3, []string{"refused: certificate revoked"}, "verify", "-l", "app1.example.net")
		app.finishes(t)
	})
	t.Run("no forwarding", func(t *testing.T) {
		f.sh(t, "app1", again, "AllowTcpForwarding no")
		app.want(t, 0, []string{" 0 differ, ", "not proven", "client certificate wanted", "this client's sshd forwards no connection"}, "verify")
	})
}

// TestOtherAddress has a client connect from an address that the inventory does not give it, as hosts with a network of their own for data do: rules for the address that is known
// would lock it out. It is told before, whether the server asks for a password (so only the client's routes say it) or has no rule for it (and says it).
func TestOtherAddress(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 2, Client: 1})
	other := strings.TrimSuffix(f.addr(t, "app1"), "31") + "199"
	for _, db := range []string{"db1", "db2"} {
		f.sh(t, "app1", `dev=$(ip -o -4 route show | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
			ip addr replace "$2/24" dev "$dev"
			ip route replace "$1/32" dev "$dev" src "$2"`, f.addr(t, db), other)
	}
	f.sh(t, "db1", `sed -i '1i host all all samenet scram-sha-256' /etc/postgresql/15/main/pg_hba.conf; pg_ctlcluster 15 main reload`)
	f.sh(t, "db2", `sed -i '/^host/d' /etc/postgresql/15/main/pg_hba.conf; pg_ctlcluster 15 main reload`)
	before := f.sh(t, "db1", "cat /etc/postgresql/15/main/pg_hba.conf") + f.sh(t, "db2", "cat /etc/postgresql/15/main/pg_hba.conf")
	for _, db := range []string{"db1", "db2"} {
		f.want(t, 2, []string{"failed        " + db + ".example.net", "dbuser1 of app1.example.net: connects from " + other + ", and by the inventory from " + f.addr(t, "app1")},
			"run", shipped, "-e", "serial=100%", "--max-failures", "5")
	}
	if after := f.sh(t, "db1", "cat /etc/postgresql/15/main/pg_hba.conf") + f.sh(t, "db2", "cat /etc/postgresql/15/main/pg_hba.conf"); after != before {
		t.Errorf("rules were changed:\n%s", after)
	}
	known := f.with(t, "address: "+f.addr(t, "app1")+"\n", "address: "+f.addr(t, "app1")+"\n    names: ["+other+"]\n")
	known.finishes(t)
}

// TestServerAsClient has an application on a server's own host, where the server's name means a loopback address, as Debian's installer has it: the application comes from another
// address than every other client, one for which the server's rules are otherwise left as they were.
func TestServerAsClient(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 1, Client: 1})
	f.sh(t, "db1", `sed -i '/[[:space:]]db1/d' /etc/hosts; echo '127.0.1.1 db1.example.net db1' >>/etc/hosts`)
	both := f.with(t, "roles: [db_server]\n", "roles: [db_server, client]\n    identities: {postgres: [batch]}\n")
	both.finishes(t)
	if _, err := f.psql(t, "db1", "service=batch@db1 dbname=postgres", "select 1"); err != nil {
		t.Error(err)
	}
	if out, err := f.psql(t, "db1", "host=db1.example.net user=batch dbname=postgres sslmode=require", "select 1"); err == nil || !strings.Contains(out, "(127.0.1.1)") || !strings.Contains(out, "valid client certificate") {
		t.Errorf("without its certificate: %v %s", err, out)
	}
	both.want(t, 0, []string{" 0 differ, 0 not proven"}, "verify")
}
