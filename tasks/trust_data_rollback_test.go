package tasks

import (
	"fmt"
	"strings"
	"testing"
)

// A rollback puts copies back as they were, list first, but never an older list, an authority that was removed, or one that is not fit for a start.
func TestTrustDataRollback(t *testing.T) {
	w := newWorld(t)
	w.startPostgres()
	w.fresh()
	runs := 0
	rollback := func(what string, values map[string]any, more ...string) {
		t.Helper()
		runs++
		w.fleet.Run = fmt.Sprintf("run-%d", runs)
		for _, harm := range more {
			w.sb.Shell(harm)
		}
		w.must(w.server, w.trust(values), true)
		w.reread()
		if err := w.look(w.server, w.trust(values)); err != nil {
			t.Fatal(err)
		}
		steps, err := RollbackSteps(w.server, w.fleet.Run)
		if err != nil || len(steps) == 0 {
			t.Fatalf("%s: %d steps, %v", what, len(steps), err)
		}
		results, err := w.Do(t.Context(), steps...)
		for i, r := range results {
			if err != nil || r.Err != nil {
				t.Fatalf("%s: %s: %v %v %s", what, steps[i].Name(), err, r.Err, r.Stderr)
			}
		}
		if got := w.uncovered(); got != "" {
			t.Fatalf("%s: no list of %s", what, got)
		}
		w.reread()
	}
	has := func(what, file, want string) {
		t.Helper()
		if got := w.sb.Shell("grep -c -e 'BEGIN' " + file + "; stat -c '%U %a' " + file); got != want+"\npostgres 600" {
			t.Errorf("%s: %s is %s, want %s", what, file, got, want)
		}
	}

	rollback("from nothing", inData("clients"))
	if got := w.sb.Shell("ls " + dataDir + " | grep ca1 || true; cat /etc/pgfleet/15-main/pgfleet.conf"); strings.Contains(got, "ca1") || strings.Contains(got, "ssl_c") {
		t.Errorf("from nothing: %s", got)
	}
	w.fleet.Run = "first"
	w.must(w.server, w.trust(inData("clients")), true)
	w.reread()
	both := inData("clients")
	both["authorities"] = []any{"clients", "servers"}

	rollback("a further authority", both)
	has("a further authority", articleRoots, "2")
	has("a further authority", articleLists, "4") // more lists than needed do no harm

	w.fleet.Run = "both"
	w.must(w.server, w.trust(both), true)
	w.reread()
	rollback("an authority removed", inData("clients"))
	has("an authority removed", articleRoots, "2")

	w.ca.publish(t, "clients", 7)
	rollback("a newer list", inData("clients"))
	if got := w.listNumbers(articleLists); got != "01 07" {
		t.Errorf("a newer list: %s", got)
	}
	rollback("broken before", inData("clients"), "echo broken >"+articleRoots, "rm "+articleLists)
	has("broken before", articleRoots, "2")
	if got := w.listNumbers(articleLists); got != "01 07" {
		t.Errorf("broken before: %s", got)
	}
	rollback("lists off", inData("clients", "crl", "no"))
	has("lists off", articleLists, "2")
	if conf := w.sb.ReadFile("/etc/pgfleet/15-main/pgfleet.conf"); !strings.Contains(conf, "ssl_crl_file = '"+articleLists+"'") {
		t.Errorf("lists off: %s", conf)
	}
	w.must(w.server, w.trust(inData("clients")), true) // our own file of lists had gone
	w.must(w.server, w.trust(inData("clients")), false)

	rollback("to our folder", serverTrusts)
	has("to our folder", articleRoots, "2")
	if conf := w.sb.ReadFile("/etc/pgfleet/15-main/pgfleet.conf"); !strings.Contains(conf, articleRoots) || !strings.Contains(conf, articleLists) {
		t.Error(conf)
	}
	w.reload()
}

// The rollback reads what the server's OS user has in its folder as that user: a link there shows nothing of root's, and nothing is written through it.
func TestTrustDataRollbackLinks(t *testing.T) {
	w := newWorld(t)
	w.startPostgres()
	w.fresh()
	w.must(w.server, w.trust(inData("clients")), true)
	w.fleet.Run = "second"
	w.ca.publish(t, "clients", 2)
	w.must(w.server, w.trust(inData("clients")), true)
	steps, err := RollbackSteps(w.server, "second")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{articleRoots, articleLists} {
		w.sb.Shell("echo secret >/root/secret; chmod 600 /root/secret; rm -f /etc/pgfleet/15-main/.undo/second/undone; mv $1 /tmp/kept; su postgres -c 'ln -s /root/secret $1' sh $1", file)
		if _, err := w.Do(t.Context(), steps[:1]...); err != nil {
			t.Fatal(err)
		}
		if got := w.sb.Shell("stat -c '%U %a %s' /root/secret; cat /root/secret"); got != "root 600 7\nsecret" {
			t.Error(got)
		}
		w.sb.Shell("rm -f $1; mv /tmp/kept $1", file)
	}
}
