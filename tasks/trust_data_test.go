package tasks

import (
	"fmt"
	"maps"
	"strings"
	"testing"
)

const (
	dataDir = "/var/lib/postgresql/15/main"
	// articleRoots and articleLists are the walkthrough's names in the data directory.
	articleRoots, articleLists = dataDir + "/ca1.crt", dataDir + "/ca1.crl"
)

// inData is a trust task of the walkthrough's place on a server.
func inData(authority string, more ...any) map[string]any {
	values := map[string]any{"authorities": []any{authority}, "tls_dir": "data", "file": "ca1.crt"}
	for i := 0; i < len(more); i += 2 {
		values[more[i].(string)] = more[i+1]
	}
	return values
}

func (w *world) trust(values map[string]any) Task { return task(w.t, "trust", values) }

// owners tells owner and mode of the copies.
func (w *world) owners() string {
	return w.sb.Shell("stat -c '%U %a' " + articleRoots + " " + articleLists)
}

const closed = "postgres 600\npostgres 600"

// listNumbers are the numbers of the lists in a file, in its order.
func (w *world) listNumbers(file string) string {
	return w.sb.Shell(`rm -f /tmp/n*; awk '/BEGIN/{n++} {print > "/tmp/n" n}' $1; for f in /tmp/n*; do openssl crl -in $f -noout -crlnumber; done | sed s/.*0x// | paste -s -d ' ' -`, file)
}

func TestTrustInDataDirectory(t *testing.T) {
	w := newWorld(t)
	w.startPostgres()
	change, err := w.check(w.server, w.trust(inData("clients")))
	if err != nil || change == nil || !strings.Contains(strings.Join(change.Notes, ""), "pg_basebackup") {
		t.Fatal(change, err)
	}
	w.must(w.server, w.trust(inData("clients")), true)
	w.must(w.server, w.trust(inData("clients")), false)
	if got := w.owners(); got != closed {
		t.Error(got)
	}
	conf := w.sb.ReadFile("/etc/pgfleet/15-main/pgfleet.conf")
	if !strings.Contains(conf, "ssl_ca_file = '"+articleRoots+"'") || !strings.Contains(conf, "ssl_crl_file = '"+articleLists+"'") {
		t.Error(conf)
	}
	if got := w.sb.Shell("cd /etc/pgfleet/15-main && cmp trust-*.pem " + articleRoots + " && cmp crl-*.pem " + articleLists + " && ls"); strings.Count(got, "\n") != 2 {
		t.Error(got)
	}
	w.reload()
	w.must(w.server, w.trust(inData("clients")), false)

	// The lists grow; the settings stay byte for byte.
	w.ca.publish(t, "clients", 2)
	w.must(w.server, w.trust(inData("clients")), true)
	if got := w.listNumbers(articleLists); got != "01 02" || w.sb.ReadFile("/etc/pgfleet/15-main/pgfleet.conf") != conf {
		t.Error(got)
	}
	change, err = w.check(w.server, task(t, "postgres_reload", nil))
	if err != nil || change == nil || !strings.Contains(change.Summary, "ca1.crl is newer") {
		t.Errorf("a reload after the lists have grown: %+v %v", change, err)
	}
	w.ca.publish(t, "clients", 1)
	w.refused(w.server, w.trust(inData("clients")), "number 1", "2")
	w.sb.Shell("rm " + articleLists)
	w.refused(w.server, w.trust(inData("clients")), "number 1", "2")
	w.ca.publish(t, "clients", 2)
	w.must(w.server, w.trust(inData("clients")), true)

	// To our own folder and back.
	w.must(w.server, w.trust(serverTrusts), true)
	w.must(w.server, w.trust(serverTrusts), false)
	w.reload()
	w.ca.publish(t, "clients", 3)
	w.must(w.server, w.trust(inData("clients")), true)
	w.must(w.server, w.trust(inData("clients")), false)
	if got := w.listNumbers(articleLists); got != "01 03" {
		t.Error(got)
	}
	w.reload()
}

// Files in the data directory that are damaged, gone or open are put right, also by a repair that lets nobody new in.
func TestTrustRepairsData(t *testing.T) {
	w := newWorld(t)
	w.startPostgres()
	w.must(w.server, w.trust(inData("clients")), true)
	w.reload()
	for _, only := range []bool{false, true} {
		values := inData("clients")
		if only {
			values["only"] = "repair"
		}
		for _, harm := range []string{"chmod 644 $1", "chown root $2", "rm $1", "rm $2", "echo >>$1", "echo broken >$1", "echo broken >$2", "cp $2 $1", "rm /etc/pgfleet/15-main/*.pem"} {
			w.sb.Shell(harm, articleRoots, articleLists)
			if changed, err := w.run(w.server, w.trust(values)); err != nil || !changed {
				t.Fatalf("%s, only repair %v: changed %v, %v", harm, only, changed, err)
			}
			w.must(w.server, w.trust(values), false)
			if got := w.owners(); got != closed {
				t.Errorf("%s: %s", harm, got)
			}
			w.sb.Shell("cd /etc/pgfleet/15-main && cmp trust-*.pem " + articleRoots + " && cmp crl-*.pem " + articleLists)
		}
	}
	// Nobody is believed for a repair who was not before.
	other := inData("servers", "only", "repair")
	w.must(w.server, w.trust(other), false)
	w.sb.Shell("rm " + articleRoots)
	w.must(w.server, w.trust(other), false)
	w.must(w.server, w.trust(inData("clients", "only", "repair")), true)
	w.reload()
}

func TestTrustForeignInData(t *testing.T) {
	w := newWorld(t)
	w.startPostgres()
	w.fresh()
	w.sb.Shell(strings.ReplaceAll(selfSigned, "$1", "/tmp/theirs") + "; install -o postgres -m 640 /tmp/theirs.crt " + articleRoots)
	sum := w.sb.Shell("sha256sum </tmp/theirs.crt")
	w.refused(w.server, w.trust(inData("clients")), articleRoots, "existing: replace")
	w.refused(w.server, w.trust(inData("clients", "existing", "keep")), articleRoots)
	w.must(w.server, w.trust(inData("clients", "existing", "replace")), true)
	w.must(w.server, w.trust(inData("clients")), false)
	if got := w.sb.Shell("stat -c '%U %a' $1.before-pgfleet; sha256sum <$1.before-pgfleet", articleRoots); got != "postgres 640\n"+sum {
		t.Error(got)
	}
	// What holds only authorities of the inventory is nobody else's, whoever put it there.
	w.must(w.server, w.trust(inData("clients", "file", "hand.crt")), true)
	w.reload()
	w.must(w.server, w.trust(inData("servers")), true)
	w.must(w.server, w.trust(inData("servers")), false)
	w.reload()

	// The article done by hand: postgresql.conf names the very files.
	w.fresh()
	w.sb.Shell(`install -o postgres -m 600 /tmp/theirs.crt $1; printf "ssl_ca_file = 'ca1.crt'\n" >>/etc/postgresql/15/main/postgresql.conf`, articleRoots)
	w.reload()
	w.refused(w.server, w.trust(inData("clients")), articleRoots, "overlap")
	w.must(w.server, w.trust(inData("clients", "existing", "keep")), false)
	w.refused(w.server, w.trust(inData("clients", "existing", "overlap")), "theirs", "crl: no")
	w.must(w.server, w.trust(inData("clients", "existing", "overlap", "crl", "no")), true)
	w.must(w.server, w.trust(inData("clients", "existing", "overlap", "crl", "no")), false)
	w.reload()
	if got := w.sb.Shell("grep -c BEGIN " + articleRoots); got != "3" {
		t.Errorf("%s authorities, want ours and theirs", got)
	}
	w.must(w.server, w.trust(inData("clients", "existing", "keep", "crl", "no")), false)
	w.refused(w.server, w.trust(inData("clients")), "theirs", "existing: overlap")
	w.must(w.server, w.trust(inData("clients", "existing", "replace")), true)
	w.must(w.server, w.trust(inData("clients")), false)
	w.reload()
	if got := w.sb.Shell("sha256sum <$1.before-pgfleet; grep -c BEGIN $1", articleRoots); got != sum+"\n2" {
		t.Error(got)
	}
}

// A link planted in the data directory, before the look or after it, is named, and nothing is written through it.
func TestTrustLinksInData(t *testing.T) {
	w := newWorld(t)
	w.startPostgres()
	state := func() string {
		return w.sb.Shell("stat -c '%U %a %s' /root/secret; cat /root/secret; ls /etc | grep -e ca1 -e pgfleet-new || true")
	}
	for _, in := range []string{articleRoots, articleLists, articleRoots + ".pgfleet-new", articleLists + ".pgfleet-new", articleRoots + ".before-pgfleet"} {
		for _, target := range []string{"/root/secret", "/etc", "/nowhere"} {
			for _, late := range []bool{false, true} {
				w.sb.Shell("rm -rf " + dataDir + "/ca1.*; rm -f /etc/pgfleet/15-main/*.pem; echo secret >/root/secret; chmod 600 /root/secret")
				plant := func() { w.sb.Shell(`su postgres -c 'ln -s "$2" "$1"' sh "$1" "$2"`, in, target) }
				if !late {
					plant()
				}
				trust := w.trust(inData("clients"))
				change, err := w.check(w.server, trust)
				if late {
					plant()
				}
				before := state()
				if err == nil {
					err = w.apply(w.server, trust, change)
				}
				named := err != nil && strings.Contains(err.Error(), in)
				// What is copied for undo is read as the server's OS user, who may see less than a link.
				if !named || !strings.Contains(err.Error(), "symbolic link") && !(late && strings.Contains(err.Error(), "as postgres")) {
					t.Errorf("%s -> %s, late %v: %v", in, target, late, err)
				}
				if after := state(); after != before {
					t.Errorf("%s -> %s, late %v: %s became %s", in, target, late, before, after)
				}
			}
		}
	}
	w.sb.Shell("rm -rf " + dataDir + "/ca1.*; su postgres -c 'mkdir " + articleRoots + "'")
	w.refused(w.server, w.trust(inData("clients")), articleRoots, "is not pgfleet's")
}

// What a change foresees is what is found after it.
func TestTrustDataForeseen(t *testing.T) {
	w := newWorld(t)
	w.startPostgres()
	for _, values := range []map[string]any{inData("clients"), inData("servers"), inData("servers", "crl", "no"), serverTrusts} {
		trust := w.trust(values)
		change, err := w.check(w.server, trust)
		if err != nil || change == nil {
			t.Fatal(change, err)
		}
		change.Foresee(w.server.View)
		foreseen := w.believing()
		if err := w.apply(w.server, trust, change); err != nil {
			t.Fatal(err)
		}
		if found := w.believing(); !maps.Equal(foreseen, found) {
			t.Errorf("%v: foreseen\n%v\nfound\n%v", values, foreseen, found)
		}
		w.reload()
	}
}

// believing tells what the view says of the files of authorities and lists.
func (w *world) believing() map[string]string {
	w.t.Helper()
	clusters, err := Clusters(w.server)
	if err != nil {
		w.t.Fatal(err)
	}
	c := clusters[0]
	out := map[string]string{"conf": string(c.Ours), "kept": fmt.Sprint(c.hasCopy(w.fleet.Run))}
	for _, name := range trustSettings {
		file := c.upcomingPath(name)
		f, beside := c.Files[file], c.Beside[strings.TrimPrefix(file, dataDir+"/")]
		out[name] = fmt.Sprint(file, f.Owner, f.Mode, string(f.Bytes), beside.Owner, beside.Mode, string(beside.Bytes))
	}
	return out
}
