package tasks

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// encoded makes the cluster 15/main anew, its database postgres in another encoding, with databases u8 and latin in theirs.
func (p *pgHost) encoded(encoding string) {
	p.t.Helper()
	p.Shell(`set -e
		pg_dropcluster --stop 15 main
		pg_createcluster -e "$1" --locale C 15 main -p 5432 -- --auth-local=peer >/dev/null 2>&1
		pg_ctlcluster 15 main start`, encoding)
	p.sql("create database u8 encoding UTF8 template template0")
	p.sql("create database latin encoding LATIN1 template template0")
	p.Shell(`echo 'create role "größe" login; create role "jürgen" login' | PGCLIENTENCODING=UTF8 runuser -u postgres -- /usr/lib/postgresql/15/bin/psql -Xq -f - u8
		echo 'create role "maß" login' | PGCLIENTENCODING=UTF8 runuser -u postgres -- /usr/lib/postgresql/15/bin/psql -Xq -f - latin`)
}

// The names of roles are bytes, in the encoding of whichever database they were made in, and so are those that a login is for: a server whose database postgres has
// another encoding is seen all the same, and a role that is made there is the one that its client asks for.
func TestServerInAnotherEncoding(t *testing.T) {
	p := newPGHost(t)
	p.host.Fleet.CA = testCAs{"clients": newTestCA(t, "clients")}
	p.host.Fleet.Hosts["app1"] = &Host{Name: "app1", Address: "10.1.2.3", Roles: []string{"client"}, Servers: []string{"db1"}, View: &View{}, Fleet: p.host.Fleet,
		Identities: []Identity{{OSUser: "app", DBUser: "jörg"}, {OSUser: "app", DBUser: "jürgen"}}}
	for _, encoding := range []string{"LATIN1", "EUC_JP"} {
		p.encoded(encoding)
		c := p.cluster("15/main")
		if c.Problem != "" {
			t.Fatalf("%s: %s", encoding, c.Problem)
		}
		if !slices.ContainsFunc(c.Roles, func(r Role) bool { return r.Name == "größe" }) {
			t.Errorf("%s: roles %v", encoding, c.Roles)
		}
		p.must(true, &postgresRole{Password: "once"})
		p.must(false, &postgresRole{Password: "once"})
		if got := p.sql("select textsend(rolname::text) from pg_authid where rolname like 'j%' order by 1"); got != `\x6ac3b67267`+"\n"+`\x6ac3bc7267656e` {
			t.Errorf("%s: made %s", encoding, got)
		}
	}
	// What ends sessions by a name that was cut is SQL that a server in another encoding takes.
	c := p.cluster("15/main")
	step := clusterStep(c, "end sessions of", postgresRoleProgram, c.BinDir, c.SocketDir, strconv.Itoa(c.Port))
	step.Stdin = []byte(endSQL([]Session{{Serial: "1", Issuer: "/CN=W\uFFFDrzel"}, {Serial: "2", Issuer: "/CN=Würzel"}}))
	if results, err := p.Do(context.Background(), step); err != nil || results[0].Err != nil {
		t.Errorf("%v %v", err, results)
	}
}

// A superuser who works as another role by default is asked as himself.
func TestServerWithAnotherRoleByDefault(t *testing.T) {
	p := newPGHost(t)
	p.host.Fleet.CA = testCAs{"clients": newTestCA(t, "clients")}
	p.host.Fleet.Hosts["app1"] = &Host{Name: "app1", Address: "10.1.2.3", Roles: []string{"client"}, Servers: []string{"db1"}, View: &View{}, Fleet: p.host.Fleet,
		Identities: []Identity{{OSUser: "app", DBUser: "dbuser1"}}}
	p.sql("create role owners")
	p.sql("alter role postgres set role = owners")
	if c := p.cluster("15/main"); c.Problem != "" {
		t.Fatal(c.Problem)
	}
	p.must(true, &postgresRole{Password: "once"})
	p.must(false, &postgresRole{Password: "once"})
}

// A server that tells whoever asks how it does so (auto_explain, pgaudit) says the words of our own questions.
func TestServerThatTellsTheQuery(t *testing.T) {
	p := newPGHost(t)
	p.withTLS()
	p.Shell(`printf '%s\n' "session_preload_libraries = auto_explain" "auto_explain.log_min_duration = 0" "auto_explain.log_level = warning" >>/etc/postgresql/15/main/postgresql.conf`)
	p.sql("select pg_reload_conf()")
	p.host.Fleet.Proofs.Add("app1", "db1", "verify-full")
	p.must(true, &postgresRole{Password: "once"})
	p.must(true, hbaTask("cert"))
	p.must(true, &postgresReload{WithProof: true})
	p.must(false, hbaTask("cert"))
	if out := p.Shell(`printf '1\nport=5432\n\n' >/tmp/in; cd /; runuser -u postgres -- sh -c "$1" sh "$2" </tmp/in`, verifyProgram,
		"set debug_print_plan = on; set client_min_messages = log; select count(*) from pg_class c join pg_attribute a on a.attrelid = c.oid where false; select 't|TLSv1.3|7|dbuser1'"); !strings.Contains(out, "t|TLSv1.3|7|dbuser1") {
		t.Error(out)
	}
}

// What a server says that cannot be asked decides what is advised.
func TestServerThatCannotBeAsked(t *testing.T) {
	for said, want := range map[string]string{
		"FATAL:  sorry, too many clients already":                                                          "max_connections",
		`FATAL:  database "postgres" does not exist`:                                                       "createdb -T template0 postgres",
		"FATAL:  the database system is not accepting connections\nDETAIL:  Hot standby mode is disabled.": "hot_standby = on",
		"FATAL:  the database system is shutting down":                                                     "wait until it is ready",
		`FATAL:  Peer authentication failed for user "postgres"`:                                           "local all postgres peer",
		`FATAL:  no pg_hba.conf entry for host "[local]", user "root"`:                                     "local all postgres peer",
	} {
		c := &Cluster{OSUser: "postgres", Settings: map[string]Setting{}}
		if err := c.readAnswer([]byte("2\npsql: error: " + said)); err != nil || !strings.Contains(c.Problem, want) || !strings.Contains(c.Problem, strings.ReplaceAll(said, "\n", "; ")) {
			t.Errorf("%s: %s %v", said, c.Problem, err)
		}
	}
}
