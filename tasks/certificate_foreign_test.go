package tasks

import (
	"strings"
	"testing"
)

// TestServerDataForeign: a key pair of the house in the data directory, in force or not, is never lost: it stops the task, or is kept beside, and a
// rollback brings it back.
func TestServerDataForeign(t *testing.T) {
	w := newWorld(t)
	w.startPostgres()
	cert := func(existing string) Task {
		return task(t, "certificate", map[string]any{"issuer": "servers", "tls_dir": "data", "existing": existing})
	}
	const data = "/var/lib/postgresql/15/main/server"
	w.sb.Shell(selfSigned+"; chown postgres: $1.*; chmod 600 $1.*", data)
	sums := func(suffix string) string {
		return w.sb.Shell("sed -n '/^-----BEGIN/,$p' $1.key$2 $1.crt$2 | sha256sum", data, suffix)
	}
	theirs := sums("")
	for _, existing := range []string{"stop", "keep"} {
		w.refused(w.server, cert(existing), data+".crt", "existing: replace")
	}
	w.sb.Shell("mv $1.crt /tmp/theirs.crt", data)
	if _, err := w.run(w.server, cert("stop")); err == nil || !strings.Contains(err.Error(), data+".key is not pgfleet's") {
		t.Fatalf("a key without its certificate: %v", err)
	}
	w.sb.Shell("mv /tmp/theirs.crt $1.crt", data)
	if sums("") != theirs {
		t.Fatal("their pair was changed although the task was refused")
	}

	w.fleet.Run = "replaces"
	w.must(w.server, cert("replace"), true)
	w.must(w.server, cert("stop"), false)
	if sums(".before-pgfleet") != theirs {
		t.Fatal("their pair is not kept")
	}
	w.reload()
	if err := w.look(w.server, cert("stop")); err != nil {
		t.Fatal(err)
	}
	steps, err := RollbackSteps(w.server, w.fleet.Run)
	if err != nil || len(steps) == 0 {
		t.Fatal(steps, err)
	}
	results, err := w.Do(t.Context(), steps...)
	for i, r := range results {
		if err != nil || r.Err != nil {
			t.Fatalf("%s: %v %v %s", steps[i].Name(), err, r.Err, r.Stderr)
		}
	}
	if sums("") != theirs {
		t.Error("a rollback does not bring their pair back")
	}
	if left := w.sb.Shell("ls $1*; cat /etc/pgfleet/15-main/pgfleet.conf", data); strings.Contains(left, "before-pgfleet") || strings.Contains(left, "ssl_cert_file") {
		t.Errorf("left: %s", left)
	}
}
