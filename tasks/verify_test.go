package tasks

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgfleet/pgfleet/tasks/postgres"
)

func TestClassify(t *testing.T) {
	data, err := os.ReadFile("testdata/verify/outcomes.txt")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		want, text, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok {
			t.Fatalf("no tab in %q", line)
		}
		seen++
		if got := classify(2, text); string(got) != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if seen < 20 {
		t.Fatalf("only %d outcomes", seen)
	}
	if got := classify(0, "certificate verify failed"); got != connects {
		t.Errorf("exit code 0 is %q", got)
	}
}

// What servers say in other languages is told by the protocol's codes, rules of pg_hba.conf by the file's name.
func TestClassifyOtherLanguages(t *testing.T) {
	for _, tt := range []struct {
		code, routine, message string
		want                   outcome
	}{
		{"28000", "ClientAuthentication", "Verbindung erfordert ein gültiges Client-Zertifikat", certWanted},
		{"28000", "ClientAuthentication", "pg_hba.conf lehnt Verbindung ab für Host »10.88.0.31«", ruleRefuses},
		{"28000", "ClientAuthentication", "ホスト\"10.88.0.31\"用のエントリがpg_hba.confにありません", ruleRefuses},
		{"28000", "auth_failed", "пользователь \"u\" не прошёл проверку подлинности (по сертификату)", certAuthFailed},
		{"28P01", "auth_failed", "пользователь \"u\" не прошёл проверку подлинности (по паролю)", wrongPassword},
		{"28000", "InitializeSessionUserId", "Rolle »u« existiert nicht", roleRefused},
		{"42501", "InitPostgres", "keine Berechtigung, um WAL-Sender zu starten", notReplicating},
		{"42501", "CheckMyDatabase", "keine Berechtigung für Datenbank »x«", databaseClosed},
		{"3D000", "InitPostgres", "Datenbank »x« existiert nicht", databaseMissing},
		{"53300", "ProcArrayAdd", "tut mir leid, schon zu viele Verbindungen", tooMany},
		{"57P03", "ProcessStartupPacket", "das Datenbanksystem startet", startingUp},
		{"XX000", "other", "interner Fehler", otherFatal},
	} {
		err := fmt.Errorf("connect: %w", &pgconn.PgError{Severity: "FATAL", Code: tt.code, Routine: tt.routine, Message: tt.message})
		if got := classifyGo(err); got != tt.want {
			t.Errorf("%s %s %s: %q, want %q", tt.code, tt.routine, tt.message, got, tt.want)
		}
	}
}

func TestParseTried(t *testing.T) {
	got, err := parseTried([]byte("0 0 4\nt|x|\n1 2 7\na\nb\nc\nd\n"))
	want := []tried{{"0", 0, "t|x|"}, {"1", 2, "a\nb\nc\nd"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, cut := range []string{"0 0 4\nt|x", "0 0 4\nt|x|", "0 0\n", "0 x 1\na\n", "0 0 -1\n\n", "nothing"} {
		if got, err := parseTried([]byte(cut)); err == nil {
			t.Errorf("%q was read as %v", cut, got)
		}
	}
}

func FuzzParseTried(f *testing.F) {
	f.Add([]byte("0 0 4\nt|x|\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseTried(data)
		size := 0
		for _, one := range list {
			size += len(one.text)
		}
		if size > len(data) || err == nil && len(list) == 0 && len(data) > 0 {
			t.Errorf("%q gave %v", data, list)
		}
	})
}

func TestConninfoQuotes(t *testing.T) {
	got := conninfo([]keyword{{"user", `o'br\ien x`}, {"dbname", ""}})
	if want := `user='o\'br\\ien x' dbname=''`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCellJudges(t *testing.T) {
	login := verifyCase{check: "login", want: []outcome{connects}, serial: "17"}
	for _, tt := range []struct {
		name        string
		c           verifyCase
		got         outcome
		text        string
		ok, unknown bool
	}{
		{"good login", login, connects, "t|TLSv1.3|17|dbuser1", true, false},
		{"old certificate", login, connects, "t|TLSv1.3|16|dbuser1", false, false},
		{"without TLS", login, connects, "f|||dbuser1", false, false},
		{"warnings around it", login, connects, "WARNING:  database \"a|b\" has a collation version mismatch\nHINT:  rebuild\nt|TLSv1.3|17|dbuser1\nDEBUG:  x\n", true, false},
		{"warnings alone", login, connects, "WARNING:  x\n", false, false},
		{"unreadable", login, connects, "", false, false},
		{"refused", login, certWanted, "FATAL:  connection requires a valid client certificate", false, false},
		{"right refusal", verifyCase{want: []outcome{certWanted}}, certWanted, "x", true, false},
		{"wrong refusal", verifyCase{want: []outcome{certWanted}}, cannotReach, "x", false, false},
		{"connects instead", verifyCase{want: []outcome{certWanted}}, connects, "t|||u", false, false},
		{"no password known", verifyCase{want: []outcome{connects}, needsPassword: true}, noPassword, "x", false, true},
		{"logged in, database closed", verifyCase{want: []outcome{connects, databaseClosed}}, databaseClosed, "x", true, false},
		{"the identity's database closed", login, databaseClosed, "x", false, false},
		{"password known", verifyCase{want: []outcome{connects}, needsPassword: true, password: "p"}, wrongPassword, "x", false, false},
	} {
		cell := tt.c.cell(tt.got, tt.text, "psql")
		if cell.OK != tt.ok || cell.NotProven != tt.unknown {
			t.Errorf("%s: %+v", tt.name, cell)
		}
	}
}

func TestGateHoldsFour(t *testing.T) {
	var g Gate
	ctx, cancel := context.WithCancel(context.Background())
	var leaves []func()
	for range gateWidth {
		leave, err := g.Enter(ctx, "db2", "db1", "db2")
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, leave)
	}
	in := make(chan error)
	go func() {
		_, err := g.Enter(ctx, "db1")
		in <- err
	}()
	select {
	case <-in:
		t.Fatal("a fifth came in")
	case <-time.After(20 * time.Millisecond):
	}
	leaves[0]()
	if err := <-in; err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := g.Enter(ctx, "db1"); err == nil {
		t.Fatal("came in after the end")
	}
}

// What a user reads of psql's error is the reason, not the advice that libpq adds on further lines.
func TestLastLine(t *testing.T) {
	for text, want := range map[string]string{
		"psql: error: connection to server at \"db1\" (10.0.0.1), port 5432 failed: Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?\n":                                           "Connection refused",
		"psql: error: connection to server at \"db1\" (10.0.0.1), port 5432 failed: root certificate file \"/r.crt\" does not exist\nEither provide the file or change sslmode to disable server certificate verification.": `root certificate file "/r.crt" does not exist`,
		"psql: error: connection to server at \"db1\" (10.0.0.1), port 5432 failed: one\nconnection to server at \"db1\" (10.0.0.1), port 5432 failed: two\n":                                                               "two",
		"psql: error: could not translate host name \"db1\" to address: Name or service not known\n":                                                                                                                        `could not translate host name "db1" to address: Name or service not known`,
		"": "",
	} {
		if got := lastLine(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestWaves(t *testing.T) {
	var cases []verifyCase
	var which []int
	for i := range 30 {
		server := "db" + string(rune('a'+i/3)) // ten servers, three tests each
		cases = append(cases, verifyCase{service: Service{Server: server}})
		which = append(which, i)
	}
	seen := 0
	last := map[string]int{}
	for _, wave := range waves(cases, which) {
		servers := map[string]bool{}
		for _, i := range wave {
			server := cases[i].service.Server
			if servers[server] {
				t.Errorf("two tests of %s at the same time: %v", server, wave)
			}
			if i < last[server] {
				t.Errorf("test %d of %s comes after %d", i, server, last[server])
			}
			servers[server], last[server] = true, i
			seen++
		}
		if len(wave) > waveWidth {
			t.Errorf("%d tests at the same time", len(wave))
		}
	}
	if seen != len(cases) {
		t.Errorf("%d of %d tests are in waves", seen, len(cases))
	}
}

// TestVerifyNotSetUp: what is not set up yet is left out where only what changed is tested, and nobody is expected to be refused a certificate of whom none is asked.
func TestVerifyNotSetUp(t *testing.T) {
	from := []netip.Prefix{netip.MustParsePrefix("10.0.0.7/32")}
	block := postgres.Block{Admit: []postgres.Admission{{User: "one", Addresses: from, Method: "cert"}, {User: "two", Addresses: from, Method: "cert"}}}
	c := &Cluster{ID: "15/main", Major: 15, Ours: []byte("ssl = on\n"), HBA: postgres.JoinBlock(block.Lines(nil), nil)}
	server := &Host{Name: "db1", Roles: []string{"db_server"}, View: &View{}}
	if _, err := server.View.once(KeyPostgres, func() (any, error) { return []*Cluster{c}, nil }); err != nil {
		t.Fatal(err)
	}
	client := &Host{Name: "app1", Address: "10.0.0.7", Identities: []Identity{{OSUser: "app", DBUser: "one"}, {OSUser: "app", DBUser: "new"}, {OSUser: "app", DBUser: "two"}}}
	fleet := &Fleet{Hosts: map[string]*Host{"db1": server, "app1": client}, Proofs: &Proofs{}}
	server.Fleet, client.Fleet = fleet, fleet
	fleet.Proofs.NoteChange("db1")

	pair := &pairContext{service: Service{OSUser: "app", DBUser: "one", Server: "db1", Cluster: "15/main", Installed: true}}
	if err := pair.ofCluster(client, c); err != nil || !slices.Equal(pair.others, []otherUser{{"two", "postgres"}}) {
		t.Errorf("others whose certificates are asked for: %q, %v", pair.others, err)
	}
	changed := &verify{Only: "changed"}
	if !changed.concerns(client, pair.service) {
		t.Error("a changed server is not tested")
	}
	if s := (Service{Server: "db1", Cluster: "15/main"}); changed.concerns(client, s) || !new(verify).concerns(client, s) {
		t.Error("an identity that is not set up is tested by a run that has changed nothing of it, or by none")
	}
	c.Ours = nil
	if changed.concerns(client, pair.service) {
		t.Error("a server that is not set up is tested by a run that has changed nothing of it")
	}
}

// TestVerifyOtherUserDatabase: the rules let another user into one database alone. The test that his certificate is asked for goes there: elsewhere the rules refuse him before
// they ask, and what was wanted would look different.
func TestVerifyOtherUserDatabase(t *testing.T) {
	from := []netip.Prefix{netip.MustParsePrefix("10.0.0.7/32")}
	block := postgres.Block{Admit: []postgres.Admission{
		{User: "one", Addresses: from, Method: "cert"}, {User: "two", Databases: []string{"shop"}, Addresses: from, Method: "cert"}}}
	c := &Cluster{ID: "15/main", Major: 15, HBA: postgres.JoinBlock(block.Lines(nil), nil)}
	client := &Host{Name: "app1", Address: "10.0.0.7", Identities: []Identity{{OSUser: "app", DBUser: "one"}, {OSUser: "app", DBUser: "two", Databases: []string{"shop"}}}}
	pair := &pairContext{service: Service{OSUser: "app", DBUser: "one", DB: "postgres"}}
	if err := pair.ofCluster(client, c); err != nil {
		t.Fatal(err)
	}
	for _, test := range pair.refusals() {
		if test.check == "other-user" {
			if !slices.Contains(test.params, keyword{"user", "two"}) || !slices.Contains(test.params, keyword{"dbname", "shop"}) {
				t.Errorf("the login as another user: %q", test.params)
			}
			return
		}
	}
	t.Error("no login as another user is tried")
}

// TestVerifyDatabasesOfRules: where the inventory names no databases, those that the rules name (databases of postgres_hba) are what a login is tried in.
func TestVerifyDatabasesOfRules(t *testing.T) {
	from := []netip.Prefix{netip.MustParsePrefix("10.0.0.7/32")}
	block := postgres.Block{Admit: []postgres.Admission{{User: "one", Databases: []string{"shop", "archive"}, Addresses: from, Method: "cert"}}}
	c := &Cluster{ID: "15/main", Major: 15, HBA: postgres.JoinBlock(block.Lines(nil), nil)}
	client := &Host{Name: "app1", Address: "10.0.0.7", Identities: []Identity{{OSUser: "app", DBUser: "one"}}}
	pair := &pairContext{service: Service{OSUser: "app", DBUser: "one", DB: "postgres"}}
	if err := pair.ofCluster(client, c); err != nil || pair.now != "cert" || pair.service.DB != "shop" {
		t.Errorf("stage %q in database %q, %v", pair.now, pair.service.DB, err)
	}
}

// What a server says in its own language is known by its code: that the login was done, and the database is closed to the user.
func TestClassifyCode(t *testing.T) {
	for code, want := range map[[2]string]outcome{{"42501", "CheckMyDatabase"}: databaseClosed, {"42501", "InitPostgres"}: notReplicating, {"3D000", "InitPostgres"}: databaseMissing} {
		if got := classifyCode(code[0], code[1]); got != want {
			t.Errorf("%v: %s, want %s", code, got, want)
		}
	}
}
