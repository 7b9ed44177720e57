package tasks

import (
	"fmt"
	"strings"
	"testing"
)

const (
	homeRoots, homeLists = "/home/app/.postgresql/ca2_int.crt", "/home/app/.postgresql/ca2_int.crl"
	homeBase             = "/home/app/.postgresql/pgfleet/dbuser1/"
)

// inHome is a trust task of the walkthrough's place on a client.
func inHome(authority string, more ...any) map[string]any {
	values := map[string]any{"authorities": []any{authority}, "tls_dir": "home", "file": "ca2_int.crt"}
	for i := 0; i < len(more); i += 2 {
		values[more[i].(string)] = more[i+1]
	}
	return values
}

// W7: the root, then the intermediate, in ~/.postgresql/ca2_int.crt; trust and certificate leave each other's files alone.
func TestTrustInHome(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5432)
	cert := task(t, "certificate", map[string]any{"issuer": "clients", "tls_dir": "home"})
	for _, crl := range []string{"no", "yes", "no"} {
		trust := w.trust(inHome("servers", "crl", crl))
		w.must(w.client, trust, true)
		if crl == "no" {
			w.run(w.client, cert)
		}
		for _, kind := range []Task{trust, cert, trust} {
			w.must(w.client, kind, false)
		}
		want := "app 600 " + homeRoots
		if crl == "yes" {
			want = "app 600 " + homeLists + "\n" + want
		}
		if got := w.sb.Shell("cd /home/app/.postgresql && stat -c '%U %a %n' $PWD/ca2*; cmp ca2_int.crt " + homeBase + "root.crt"); got != want {
			t.Errorf("crl %s: %s", crl, got)
		}
		conf, env := w.sb.ReadFile("/home/app/.pg_service.conf"), w.sb.ReadFile(homeBase+"pgfleet.env")
		if !strings.Contains(conf, "sslrootcert="+homeRoots+"\nsslcert=/home/app/.postgresql/client.crt\n") || !strings.Contains(env, "PGSSLROOTCERT='"+homeRoots+"'") {
			t.Error(conf, env)
		}
		if lists := strings.Contains(conf, "sslcrl="+homeLists) && strings.Contains(env, "PGSSLCRL='"+homeLists+"'"); lists != (crl == "yes") {
			t.Error(conf, env)
		}
		w.clientWhole("crl " + crl)
	}
	subjects := w.sb.Shell(`openssl crl2pkcs7 -nocrl -certfile $1 | openssl pkcs7 -print_certs -noout | sed -n 's/^subject=//p'`, homeRoots)
	if subjects != "CN = root-ca2\nCN = intermediate.example.net" {
		t.Error(subjects)
	}
	// A new certificate keeps what the services say of authorities.
	w.must(w.client, task(t, "certificate", map[string]any{"issuer": "clients", "tls_dir": "home", "force": true}), true)
	w.must(w.client, w.trust(inHome("servers")), false)
	for _, harm := range []string{"rm $1", "chmod 644 $1", "chmod 400 $1", "echo >>$1", "echo broken >$1", "rm $2root.crt"} {
		w.sb.Shell(harm, homeRoots, homeBase)
		w.must(w.client, w.trust(inHome("servers")), true)
		w.must(w.client, w.trust(inHome("servers")), false)
		w.clientWhole(harm)
	}
	w.refused(w.client, w.trust(inData("servers")), "own or home")
	w.refused(w.server, w.trust(inHome("servers")), "own or data")
	// To our own folder and back.
	w.must(w.client, w.trust(clientTrust), true)
	w.must(w.client, cert, false)
	w.must(w.client, w.trust(inHome("servers")), true)
	w.must(w.client, cert, false)
}

func TestTrustForeignInHome(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5432)
	w.sb.Shell("su app -c 'mkdir -m 700 /home/app/.postgresql; cd /home/app/.postgresql; " + strings.ReplaceAll(selfSigned, "$1", "ca2_int") + "; cp ca2_int.crt theirs'")
	w.refused(w.client, w.trust(inHome("servers")), homeRoots, "existing: replace")
	w.refused(w.client, w.trust(inHome("servers", "existing", "keep")), homeRoots)
	w.must(w.client, w.trust(inHome("servers", "existing", "replace")), true)
	w.must(w.client, w.trust(inHome("servers")), false)
	w.sb.Shell("cd /home/app/.postgresql && cmp theirs ca2_int.crt.before-pgfleet")
	// One file for two database users who believe different authorities cannot be.
	w.client.Identities = append(w.client.Identities, Identity{OSUser: "app", DBUser: "dbuser2"})
	w.must(w.client, w.trust(inHome("servers")), true)
	w.must(w.client, w.trust(inHome("servers")), false)
	w.sb.Shell("cd /home/app/.postgresql/pgfleet && cat dbuser2/root.crt ../theirs >x && cat x >dbuser2/root.crt; rm x")
	w.refused(w.client, w.trust(inHome("servers", "existing", "overlap")), "dbuser1 and dbuser2", "tls_dir: own")
}

func TestTrustLinksInHome(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5432)
	state := func() string { return w.sb.Shell("stat -c '%U %a %s' /root/secret; cat /root/secret") }
	for _, in := range []string{homeRoots, homeLists} {
		for _, target := range []string{"/root/secret", "/nowhere", "/etc"} {
			for _, late := range []bool{false, true} {
				w.emptyClient()
				w.sb.Shell("echo secret >/root/secret; chmod 600 /root/secret")
				plant := func() {
					w.sb.Shell(`su app -c 'mkdir -p -m 700 "$HOME/.postgresql"; ln -s "$2" "$1"' sh "$1" "$2"`, in, target)
				}
				if !late {
					plant()
				}
				trust := w.trust(inHome("servers", "crl", "yes"))
				change, err := w.check(w.client, trust)
				if late {
					plant()
				}
				before := state()
				if err == nil {
					err = w.apply(w.client, trust, change)
				}
				if err == nil || !strings.Contains(err.Error(), in+" ") || !strings.Contains(err.Error(), "symbolic link") {
					t.Errorf("%s -> %s, late %v: %v", in, target, late, err)
				}
				if after := state(); after != before {
					t.Errorf("%s -> %s, late %v: %s became %s", in, target, late, before, after)
				}
			}
		}
	}
	w.emptyClient()
	w.sb.Shell("su app -c 'mkdir -p -m 700 " + homeRoots + "'")
	w.refused(w.client, w.trust(inHome("servers")), homeRoots, "folder")
}

// The copies of an authority never come into force before its list, nor does a list go before its authority, wherever a run is stopped.
func TestTrustHomeListsNeverLate(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5432)
	w.client.Identities[0].Default = true
	first := []flowStep{{onClient, "trust", inHome("clients", "crl", "yes")}}
	second := []flowStep{{onClient, "trust", inHome("servers", "crl", "yes")}}
	stride, killed := 14, 0
	if testing.Short() {
		stride = 40
	}
	for step, command := 1, stride; ; command += stride {
		w.emptyClient()
		w.kill = 0
		if _, err := w.follow(first); err != nil {
			t.Fatal(err)
		}
		w.steps, w.kill, w.killCommand = 0, step, command
		if _, err := w.follow(second); err == nil {
			if command == stride && w.steps < step {
				break
			}
			step, command = step+1, 0
			continue
		}
		killed++
		what := fmt.Sprintf("step %d killed at command %d", step, command)
		out := w.sb.Shell(`cd /home/app/.postgresql; mkdir -p /tmp/w; for n in pgfleet/dbuser1/root ca2_int root; do
openssl crl2pkcs7 -nocrl -certfile $n.crt | openssl pkcs7 -print_certs -noout | sed -n 's/^subject=//p' | sort >/tmp/w/cas
rm -f /tmp/w/l*; awk '/BEGIN/{n++} {print > "/tmp/w/l" n}' $n.crl; for f in /tmp/w/l*; do openssl crl -in $f -noout -issuer; done | sed 's/^issuer=//' | sort >/tmp/w/issuers
grep -Fxv -f /tmp/w/issuers /tmp/w/cas | sed "s#^#$n: #"; done; true`)
		if out != "" {
			t.Fatalf("%s: no list of %s", what, out)
		}
		w.clientWhole(what)
		w.finish(what, second)
		if left := w.sb.Shell("find /home/app/.postgresql -maxdepth 1 -name '*new'"); left != "" {
			t.Fatalf("%s: left over %s", what, left)
		}
	}
	if killed == 0 {
		t.Error("nothing was killed")
	}
	t.Log(killed, "times")
}

func TestTrustHomeForeseen(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5432)
	for _, values := range []map[string]any{inHome("clients", "crl", "yes"), inHome("servers", "crl", "yes"), inHome("servers", "crl", "no"), clientTrust} {
		trust := w.trust(values)
		change, err := w.check(w.client, trust)
		if err != nil || change == nil {
			t.Fatal(change, err)
		}
		change.Foresee(w.client.View)
		if again, err := trust.Check(t.Context(), w.client); err != nil || again != nil {
			t.Errorf("%v, foreseen: %+v %v", values, again, err)
		}
		if err := w.apply(w.client, trust, change); err != nil {
			t.Fatal(err)
		}
	}
}
