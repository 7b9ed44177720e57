package tasks

import (
	"strings"
	"testing"
	"time"
)

func TestTrustOrderAndLists(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5432)
	trust := task(t, "trust", map[string]any{"authorities": []any{"servers"}, "crl": true})
	w.must(w.client, trust, true)
	const base = "/home/app/.postgresql/pgfleet/dbuser1/"
	// W7: the root, then what is below it. W28: the lists in the other order.
	subjects := w.sb.Shell(`openssl crl2pkcs7 -nocrl -certfile $1root.crt | openssl pkcs7 -print_certs -noout | sed -n 's/^subject=//p'`, base)
	if subjects != "CN = root-ca2\nCN = intermediate.example.net" {
		t.Error(subjects)
	}
	lists := w.sb.Shell(`awk '/BEGIN/{n++} {print > "/tmp/l" n}' $1root.crl; for f in /tmp/l1 /tmp/l2; do openssl crl -in $f -noout -issuer; done`, base)
	if lists != "issuer=CN = intermediate.example.net\nissuer=CN = root-ca2" {
		t.Error(lists)
	}
	w.ca.publish(t, "servers", 5)
	w.must(w.client, trust, true)
	w.ca.publish(t, "servers", 4)
	w.refused(w.client, trust, "intermediate.example.net", "number 4", "5")
	w.ca.publish(t, "servers", 6)
	w.fleet.Now = w.fleet.Now.Add(400 * 24 * time.Hour)
	w.refused(w.client, trust, "ended on")
	w.fleet.Now = w.fleet.Now.Add(-400 * 24 * time.Hour)
	w.must(w.client, task(t, "trust", map[string]any{"authorities": []any{"servers"}, "crl": false}), true)
	if got := w.sb.Shell("ls " + base + " && cat /home/app/.pg_service.conf"); strings.Contains(got, "crl") {
		t.Error(got)
	}
}

// An authority never comes into force before its list, nor does a list go before its authority.
func TestTrustListsNeverLate(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5432)
	first := []flowStep{{onClient, "trust", map[string]any{"authorities": []any{"clients"}, "crl": true}}}
	second := []flowStep{{onClient, "trust", map[string]any{"authorities": []any{"servers"}, "crl": true}}}
	command, killedOnce := 0, false
	for step := 1; step < 30; {
		w.emptyClient()
		w.kill = 0
		if _, err := w.follow(first); err != nil {
			t.Fatal(err)
		}
		command += 4
		w.steps, w.kill, w.killCommand = 0, step, command
		if _, err := w.follow(second); err == nil {
			if command == 4 && w.steps < step {
				break
			}
			step, command = step+1, 0
			continue
		}
		killedOnce = true
		out := w.sb.Shell(`cd /home/app/.postgresql/pgfleet/dbuser1
openssl crl2pkcs7 -nocrl -certfile root.crt | openssl pkcs7 -print_certs -noout | sed -n 's/^subject=//p' | sort >/tmp/cas
rm -f /tmp/l*; awk '/BEGIN/{n++} {print > "/tmp/l" n}' root.crl; for f in /tmp/l*; do openssl crl -in $f -noout -issuer; done | sed 's/^issuer=//' | sort >/tmp/lists
grep -Fxv -f /tmp/lists /tmp/cas || true`)
		if out != "" {
			t.Fatalf("step %d killed at command %d: no list of %s", step, command, out)
		}
		w.finish("after the kill", second)
	}
	if !killedOnce {
		t.Error("nothing was killed")
	}
}

func TestTrustWithoutList(t *testing.T) {
	w := newWorld(t)
	w.startPostgres()
	delete(w.ca.lists, "clients_root")
	if _, err := w.run(w.server, task(t, "trust", serverTrusts)); err == nil || !strings.Contains(err.Error(), "clients_root") {
		t.Errorf("an authority without a list: %v", err)
	}
	w.must(w.server, task(t, "trust", map[string]any{"authorities": []any{"clients"}, "crl": "no"}), true)
	if conf := w.sb.ReadFile("/etc/pgfleet/15-main/pgfleet.conf"); strings.Contains(conf, "ssl_crl_file") {
		t.Error(conf)
	}
	w.ca.publish(t, "clients_root", 1)
	w.must(w.server, task(t, "trust", serverTrusts), true)
	w.must(w.server, task(t, "trust", serverTrusts), false)
	w.sb.Shell("pg_ctlcluster 15 main restart")
}
