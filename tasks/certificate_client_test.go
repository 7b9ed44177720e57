package tasks

import (
	"strings"
	"testing"
)

var (
	clientCertificate = map[string]any{"issuer": "clients", "profile": "client"}
	clientTrust       = map[string]any{"authorities": []any{"servers_root", "servers"}}
)

func TestClientFromNothing(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5433)
	trust, cert := task(t, "trust", clientTrust), task(t, "certificate", clientCertificate)
	w.must(w.client, trust, true)
	w.must(w.client, trust, false)
	w.trips = 0
	w.must(w.client, cert, true)
	if w.trips != 3 {
		t.Errorf("%d round trips, want 3: look, key and request, closing", w.trips)
	}
	w.must(w.client, cert, false)
	w.must(w.client, trust, false)
	t.Log(w.sb.Shell("cd /home/app && find .postgresql .pg_service.conf -printf '%M %u:%g %p\n' && cat .pg_service.conf .postgresql/pgfleet/dbuser1/pgfleet.env"))
	if left := w.sb.Shell("cd /home/app/.postgresql/pgfleet/dbuser1 && printf '%s|' *"); left != "pgfleet.env|root.crt|v|" {
		t.Errorf("in the identity's folder are %s", left)
	}
	services := w.sb.ReadFile("/home/app/.pg_service.conf")
	for _, line := range []string{"[dbuser1@db1]", "host=db1.example.net", "port=5433", "user=dbuser1", "sslmode=verify-full", "sslrootcert=/home/app/.postgresql/pgfleet/dbuser1/root.crt"} {
		if !strings.Contains(services, line+"\n") {
			t.Errorf("no line %q in\n%s", line, services)
		}
	}
	list, err := Services(w.client)
	if err != nil || len(list) != 1 || !list[0].Installed || list[0].Port != 5433 || list[0].Psql != "/usr/lib/postgresql/15/bin/psql" {
		t.Fatalf("services: %+v %v", list, err)
	}
	if out := w.sb.Shell("openssl verify -CAfile "+list[0].Files.Root+" "+list[0].Files.Root+"; head -1 $1; openssl x509 -in $2 -noout -subject", list[0].Files.Key, list[0].Files.Cert); !strings.Contains(out, "-----BEGIN PRIVATE KEY-----\nsubject=CN = dbuser1") {
		t.Error(out)
	}
	// What others may do with the key, or have done to pgfleet.env, is put right; the services, which are right, are not touched.
	before := w.sb.Shell("stat -c '%i %Y' /home/app/.pg_service.conf")
	for _, harm := range []string{"chmod 666 " + list[0].Files.Key, "chmod 640 " + list[0].Files.Key, "echo >>/home/app/.postgresql/pgfleet/dbuser1/pgfleet.env"} {
		w.sb.Shell(harm)
		w.must(w.client, cert, true)
		w.must(w.client, cert, false)
		if got := w.sb.Shell("stat -c %a $1 /home/app/.postgresql/pgfleet/dbuser1/pgfleet.env; stat -c '%i %Y' /home/app/.pg_service.conf", list[0].Files.Key); got != "600\n600\n"+before {
			t.Errorf("%s: %s", harm, got)
		}
	}

	// With --check, what a trust task before it would write is not shown again.
	w.sb.Shell("echo >>/home/app/.postgresql/pgfleet/dbuser1/pgfleet.env")
	w.fleet.CheckOnly = true
	if change, err := w.check(w.client, cert); err != nil || change == nil {
		t.Errorf("%+v %v", change, err)
	}
	w.client.View.Plan(identityKey(w.client.Identities[0]))
	if change, err := w.check(w.client, cert); err != nil || change != nil {
		t.Errorf("%+v %v", change, err)
	}
}
