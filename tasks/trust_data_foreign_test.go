package tasks

import (
	"strings"
	"testing"
)

// TestTrustDataRollbackForeign: authorities of others stood in the copy's place, named by the user's own postgresql.conf. A rollback of the first run brings them back.
func TestTrustDataRollbackForeign(t *testing.T) {
	w := newWorld(t)
	w.startPostgres()
	w.sb.Shell(`set -e
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /root/o.key -out $1 -subj /CN=others -days 100 2>/dev/null
		chown postgres:postgres $1; chmod 600 $1
		echo "ssl_ca_file = 'ca1.crt'" >>/etc/postgresql/15/main/postgresql.conf; pg_ctlcluster 15 main reload; sleep 0.5`, articleRoots)
	was := w.sb.ReadFile(articleRoots)
	w.reread()
	w.fleet.Run = "first"
	w.must(w.server, w.trust(inData("clients", "existing", "replace")), true)
	w.reread()
	if err := w.look(w.server, w.trust(inData("clients"))); err != nil {
		t.Fatal(err)
	}
	steps, err := RollbackSteps(w.server, "first")
	if err != nil {
		t.Fatal(err)
	}
	results, err := w.Do(t.Context(), steps...)
	for i, r := range results {
		if err != nil || r.Err != nil {
			t.Fatalf("%s: %v %v %s", steps[i].Name(), err, r.Err, r.Stderr)
		}
	}
	if got := w.sb.ReadFile(articleRoots); got != was {
		t.Errorf("after the rollback the server believes\n%s", w.sb.Shell("openssl x509 -noout -subject -in "+articleRoots))
	}
	if conf := w.sb.ReadFile("/etc/postgresql/15/main/postgresql.conf"); !strings.Contains(conf, "ssl_ca_file = 'ca1.crt'") || strings.Contains(conf, "/etc/pgfleet") {
		t.Error(conf)
	}
}

// TestTrustDataManyFiles: a file of others is seen among however many.
func TestTrustDataManyFiles(t *testing.T) {
	w := newWorld(t)
	w.startPostgres()
	w.sb.Shell(`cd ` + dataDir + `; for i in $(seq 500); do echo x >a$i.crt; done; echo others >ca1.crt; chown postgres:postgres *.crt`)
	w.refused(w.server, w.trust(inData("clients")), articleRoots, "not pgfleet's")
}
