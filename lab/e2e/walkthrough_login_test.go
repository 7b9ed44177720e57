package e2e_test

import (
	"cmp"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/lab/labtest"
)

// loginCase is one connection test; see testdata/walkthrough/logins.yaml.
type loginCase struct {
	Test, Layout, User, Certificate, With, Password, Want, Log string
}

// seenQuery is what the server says of a session: who, over TLS or not, with which certificate.
const seenQuery = "select current_user || ' ' || ssl || ' ' || coalesce(client_dn, '-') from pg_stat_ssl where pid = pg_backend_pid()"

// login is how a connection test ended.
type login struct {
	text string
	code int
}

// logins makes the connection tests of one stage.
func (w *walk) logins(t *testing.T, stage string) {
	if len(w.cases[stage]) == 0 {
		t.Fatalf("no cases for %s", stage)
	}
	for _, c := range w.cases[stage] {
		if c.Layout == "" || c.Layout == w.name {
			t.Run(c.Test, func(t *testing.T) { w.login(t, stage, c) })
		}
	}
}

func (w *walk) login(t *testing.T, stage string, c loginCase) {
	user := cmp.Or(c.User, "dbuser1")
	certificate := cmp.Or(c.Certificate, user)
	if w.home {
		certificate = "dbuser1" // ~/.postgresql has room for one
	}
	since := w.serverLog(t)
	got := w.psql(t, user, certificate, cmp.Or(c.Password, "right"), w.fill(c.With))
	switch {
	case c.Want != "connects":
		if want := w.fill(c.Want); got.code == 0 || !strings.Contains(got.text, want) {
			t.Errorf("want %q, got exit %d: %s", want, got.code, got.text)
		}
	case got.code != 0:
		t.Errorf("exit %d: %s", got.code, got.text)
	default:
		// The server asks for certificates from the first stage on, and libpq sends what it has.
		if want := user + " true /CN=" + certificate; got.text != want {
			t.Errorf("the server saw %q, want %q", got.text, want)
		}
	}
	if log := strings.TrimPrefix(w.serverLog(t), since); c.Log != "" && !strings.Contains(log, c.Log) {
		t.Errorf("no %q in the server's log:\n%s", c.Log, log)
	}
}

// fill puts values into a case's text.
func (w *walk) fill(text string) string {
	return strings.NewReplacer("{addr}", w.addr, "{none}", "/var/lib/postgresql/none").Replace(text)
}

// psql connects from the client as the application's OS user, with the password that is right, wrong, or none.
func (w *walk) psql(t *testing.T, user, certificate, password, with string) login {
	t.Helper()
	conninfo := strings.NewReplacer("{user}", user, "{certificate}", certificate).Replace(w.conninfo) + " connect_timeout=10 " + with
	argv := append([]string{"runuser", "-u", "postgres", "--", "env", "-i", "HOME=" + home, "LC_ALL=C"}, w.env...)
	switch password {
	case "right":
		argv = append(argv, "PGPASSWORD="+w.passwords[user])
	case "wrong":
		argv = append(argv, "PGPASSWORD=not it")
	}
	argv = append(argv, psqlPath, "-XAtw", "-d", conninfo, "-c", seenQuery)
	out, err := w.lab.Exec(t.Context(), "app1", argv, strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	return login{strings.TrimSpace(out.Stdout + out.Stderr), out.Code}
}

// sql asks the server itself, as its superuser over the local socket.
func (w *walk) sql(t *testing.T, query string) string {
	t.Helper()
	return labtest.Exec(t, w.lab, "db1", "runuser", "-u", "postgres", "--", psqlPath, "-XAt", "-d", "postgres", "-c", query)
}

// sqlFrom is sql for what must not stand in a list of processes.
func (w *walk) sqlFrom(t *testing.T, text string) {
	t.Helper()
	labtest.Feed(t, w.lab, "db1", text, "runuser", "-u", "postgres", "--", psqlPath, "-XAt", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-f", "-")
}

// setting is a parameter in force.
func (w *walk) setting(t *testing.T, name string) string { t.Helper(); return w.sql(t, "show "+name) }

func (w *walk) serverLog(t *testing.T) string {
	t.Helper()
	return labtest.Exec(t, w.lab, "db1", "sh", "-c", "cat /var/log/postgresql/*.log")
}
