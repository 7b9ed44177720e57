package postgres

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/transport"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

// serverHBA installs a pg_hba.conf (standard input) and waits until it is in force.
const serverHBA = `set -e
psql=/usr/lib/postgresql/15/bin/psql
loaded() { runuser -u postgres -- $psql -XAtqc 'select pg_conf_load_time()'; }
before=$(loaded)
cat >/etc/postgresql/15/main/pg_hba.conf
runuser -u postgres -- kill -HUP "$(head -n 1 /var/lib/postgresql/15/main/postmaster.pid)"
while [ "$(loaded)" = "$before" ]; do sleep 0.05; done
broken=$(runuser -u postgres -- $psql -XAtqc "select line_number, error from pg_hba_file_rules where type is null or error is not null")
[ -z "$broken" ] || { echo "$broken" >&2; exit 1; }
`

// serverTry tries the logins on standard input ("address user database replication sslmode") and prints what pg_hba.conf says to each. A connection to
// an address of the host itself comes from that address.
const serverTry = `while read -r address user db replication ssl; do
	said=$(PGCONNECT_TIMEOUT=10 PGGSSENCMODE=disable PGSSLCERT=/none /usr/lib/postgresql/15/bin/psql -XAtqw \
		"host=$address user=$user dbname=$db replication=$replication sslmode=$ssl" -c 'IDENTIFY_SYSTEM' 2>&1 </dev/null)
	case $said in
	*'no pg_hba.conf entry'* | *'pg_hba.conf rejects'*) echo reject ;;
	*'no password supplied'* | *'does not exist'* | *systemid* | *'syntax error'* | *'must be superuser or replication role'* | *'not permitted'* | [0-9]*) echo admit ;;
	*) echo "unclear: $said" | tr '\n' ' '; echo ;;
	esac
done`

// What Reader says of generated files, with and without a block, is what a real server does.
func TestReaderAgreesWithTheServer(t *testing.T) {
	sb := transporttest.NewSandbox(t)
	sb.Shell(`set -e
		mkdir -p /run/postgresql && chown postgres:postgres /run/postgresql
		[ -e /etc/postgresql/15/main/postgresql.conf ] || pg_createcluster 15 main >/dev/null
		echo "listen_addresses = '*'" >>/etc/postgresql/15/main/postgresql.conf
		ip addr add 10.1.2.3/16 dev lo; ip addr add 10.1.2.4/32 dev lo; ip addr add 10.2.0.1/32 dev lo; ip addr add 192.0.2.1/32 dev lo
		ip -6 addr add fd00::1/128 dev lo nodad || :
		echo 'local all all peer' >/etc/postgresql/15/main/pg_hba.conf
		pg_ctlcluster 15 main start
		runuser -u postgres -- /usr/lib/postgresql/15/bin/psql -XAtqc 'create role staff; create role carol login in role staff; create role bob login; create role dbuser1 login'`)
	reader := Reader{Major: 15, Groups: func(role string) []string {
		if role == "carol" {
			return []string{"staff"}
		}
		return nil
	}}
	logins := tcpLogins(sb)
	admitted := 0
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 2))
		text := randomFile(r)
		if seed%2 == 0 {
			user, err := ReadHBA([]byte(text), 15)
			if err != nil {
				t.Fatal(err)
			}
			block := randomBlock(r)
			// Without certificates in this test, the cert method is exchanged for another that admits.
			text = strings.ReplaceAll(string(JoinBlock(block.Lines(user), []byte(text))), "cert\n", "scram-sha-256\n")
		}
		// The test itself asks through the socket.
		text = "local all postgres peer\n" + text
		rules, err := ReadHBA([]byte(text), 15)
		if err != nil {
			t.Fatal(err)
		}
		r.Shuffle(len(logins), func(i, j int) { logins[i], logins[j] = logins[j], logins[i] })
		some := logins[:40]
		for i, said := range askServer(t, sb, text, some) {
			may, must := possible(reader, rules, some[i])
			if said != "admit" && said != "reject" || said == "admit" && !may || said == "reject" && must {
				t.Errorf("seed %d: %+v: the server says %s, the reader may %v, must %v\n%s", seed, some[i], said, may, must, text)
			}
			if said == "admit" {
				admitted++
			}
		}
	}
	t.Logf("%d of 480 logins were admitted", admitted)
	if admitted < 20 || admitted > 460 {
		t.Error("the sample says nothing")
	}
}

// tcpLogins are those that can be tried: over TCP, from addresses that the sandbox has.
func tcpLogins(sb *transporttest.Sandbox) []Login {
	have := sb.Shell("ip -o addr show dev lo")
	var out []Login
	for _, l := range allLogins() {
		if l.Address.IsValid() && (l.Address.String() == "127.0.0.1" || strings.Contains(have, " "+l.Address.String()+"/")) {
			out = append(out, l)
		}
	}
	return out
}

func askServer(t *testing.T, sb *transporttest.Sandbox, hba string, logins []Login) []string {
	t.Helper()
	var b strings.Builder
	for _, l := range logins {
		db, ssl := l.Database, "disable"
		if l.Replication {
			db = "none"
		}
		if l.TLS {
			ssl = "require"
		}
		fmt.Fprintf(&b, "%s %s %s %v %s\n", l.Address, l.User, db, l.Replication, ssl)
	}
	steps := []transport.Step{{Key: "hba", Shell: serverHBA, Stdin: []byte(hba)}, {Key: "try", Shell: serverTry, Stdin: []byte(b.String()), Limit: 120e9}}
	results, err := sb.Do(t.Context(), steps...)
	if err == nil {
		err = transport.Failed(steps, results)
	}
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, results[len(results)-1].Stderr, hba)
	}
	return strings.Split(strings.TrimSpace(string(results[1].Stdout)), "\n")
}

// possible tells whether some, and whether every rule that may decide admits.
func possible(reader Reader, rules []Rule, l Login) (may, must bool) {
	must = true
	for _, r := range reader.Deciding(rules, l) {
		yes := r != nil && r.Method != "reject"
		may, must = may || yes, must && yes
	}
	return may, must
}
