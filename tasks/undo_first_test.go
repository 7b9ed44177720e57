package tasks

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

const etc15 = "/etc/postgresql/15/main/"

// configuration is what PostgreSQL reads, without pgfleet's own folder.
func (p *pgHost) configuration() string {
	p.t.Helper()
	return p.Shell("cd " + etc15 + " && stat -c '%n %a %U %G' postgresql.conf pg_hba.conf pg_ident.conf && cat postgresql.conf pg_hba.conf pg_ident.conf")
}

// kept are the runs that something is kept of and was not put back.
func (p *pgHost) kept() (out []string) {
	p.t.Helper()
	for _, k := range p.cluster("15/main").Copies {
		if k.State != "undone" && !slices.Contains(out, k.Run) {
			out = append(out, k.Run)
		}
	}
	return out
}

// back goes back to before a run, and gives what the host said and why it did not.
func (p *pgHost) back(run string) (said, wrong string) {
	p.t.Helper()
	p.cluster("15/main")
	steps, err := RollbackSteps(p.host, run)
	if err != nil || len(steps) == 0 {
		p.t.Fatalf("%d steps to before %s: %v", len(steps), run, err)
	}
	results, err := p.via.Do(p.t.(*testing.T).Context(), steps...)
	if err != nil {
		p.t.Fatal(err)
	}
	if results[0].Err != nil {
		return "", string(results[0].Stderr)
	}
	return string(results[0].Stdout), ""
}

// However many runs there were, what was before the first can come back: also files that a later run was the first to change.
func TestRollbackToBefore(t *testing.T) {
	p := newPGHost(t)
	before := p.configuration()
	reload := &postgresReload{WithProof: true}
	p.withTLS()
	p.must(true, &postgresRole{Password: "once"})
	p.host.Fleet.Proofs.Add("app1", "db1", "verify-full")
	p.must(true, hbaTask("password"))
	p.must(true, reload)
	var states []string
	for n := 2; n <= 9; n++ {
		p.host.Fleet.Run = fmt.Sprintf("run-%d", n)
		states = append(states, p.configuration()+p.ReadFile("/etc/pgfleet/15-main/pgfleet.conf"))
		if n == 3 {
			p.must(true, &postgresIdent{Lines: []string{"a b c"}})
		}
		p.must(true, settingsTask(map[string]string{"log_connections": []string{"on", "off"}[n%2]}))
		p.must(true, reload)
	}
	if got, want := p.kept(), []string{"run-1", "run-5", "run-6", "run-7", "run-8", "run-9"}; !slices.Equal(got, want) {
		t.Fatalf("kept are %q, want %q", got, want)
	}
	if _, wrong := p.back("run-6"); wrong != "" {
		t.Fatal(wrong)
	}
	if got := p.configuration() + p.ReadFile("/etc/pgfleet/15-main/pgfleet.conf"); got != states[4] {
		t.Errorf("before run-6 it was\n%s\nand is\n%s", states[4], got)
	}
	if got, want := p.kept(), []string{"run-1", "run-5"}; !slices.Equal(got, want) {
		t.Errorf("kept are %q, want %q", got, want)
	}

	p.Shell("echo '# mine' >>" + etc15 + "pg_hba.conf")
	results, err := p.via.Do(t.Context(), CopiesProbe())
	if err != nil {
		t.Fatal(err)
	}
	p.host.View.Put(results...)
	files, err := CopiedFiles(p.host, "run-1")
	if err != nil || len(files) != 4 || !files[0].Missing || !files[0].Ours() {
		t.Errorf("it would put back %v, %v", files, err)
	}
	if got := ChangedByOthers([]*Cluster{p.cluster("15/main")}, files); !slices.Equal(got, []string{etc15 + "pg_hba.conf"}) {
		t.Errorf("changed by others: %q", got)
	}
	said, wrong := p.back("run-1")
	const aside = "/etc/pgfleet/15-main/pg_hba.conf.before-rollback-run-1"
	if wrong != "" || !strings.Contains(said, aside) || strings.Contains(said, "postgresql.conf") {
		t.Fatalf("it said %q %q", said, wrong)
	}
	if got := p.configuration(); got != before {
		t.Errorf("before pgfleet it was\n%s\nand is\n%s", before, got)
	}
	if got := p.Shell("stat -c '%U %a' $1; tail -n 1 $1", aside); got != "root 600\n# mine" {
		t.Errorf("set aside: %s", got)
	}
	if got := p.kept(); len(got) != 0 {
		t.Errorf("not put back: %q", got)
	}
	p.restarts("main")

	// The next run begins where none of ours was.
	p.host.Fleet.Run = "run-a"
	p.must(true, settingsTask(map[string]string{"log_connections": "on"}))
	p.must(true, reload)
	if _, wrong := p.back("run-a"); wrong != "" {
		t.Fatal(wrong)
	}
	if got := p.configuration(); got != before {
		t.Errorf("the second time it is\n%s", got)
	}
}

// Where nothing of ours would be left, the server's own files of before decide; what they would bring back is found out before anything is changed.
func TestRollbackToBeforeRefused(t *testing.T) {
	p := newPGHost(t)
	own, ours := newTestCA(t, "own"), newTestCA(t, "clients")
	own.list = own.crl(t, 7, own.revoked)
	p.host.Fleet.CA = testCAs{"clients": ours}
	crt, lists := etc15+"own.crt", etc15+"own.crl"
	pair := p.withTLSFiles("own", own)
	p.Shell(`set -e
		cp $1/server.crt $2; cp $1/server.key ${2%.crt}.key; chown postgres:postgres $2 ${2%.crt}.key; chmod 600 ${2%.crt}.key
		printf "%s\n" "ssl_cert_file = 'own.crt'" "ssl_ca_file = 'own-ca.crt'" "ssl_crl_file = 'own.crl'" | sed "s#'#'/etc/postgresql/15/main/#; s#main/'#main/#" >>/etc/postgresql/15/main/postgresql.conf
		echo "ssl_key_file = '${2%.crt}.key'" >>/etc/postgresql/15/main/postgresql.conf`, strings.TrimSuffix(pair["ssl_cert_file"], "/server.crt"), crt)
	p.WriteFile(etc15+"own-ca.crt", pemText("CERTIFICATE", own.cert.Raw), 0o644)
	p.WriteFile(lists, pemText("X509 CRL", own.list.Raw), 0o644)
	p.restarts("main")
	before, good := p.configuration(), p.ReadFile(crt)

	refused := func(words ...string) {
		t.Helper()
		was := p.configuration() + p.ReadFile("/etc/pgfleet/15-main/pgfleet.conf")
		_, wrong := p.back("run-1")
		for _, w := range append(words, "nothing was changed") {
			if !strings.Contains(wrong, w) {
				t.Errorf("it does not say %q: %q", w, wrong)
			}
		}
		if got := p.configuration() + p.ReadFile("/etc/pgfleet/15-main/pgfleet.conf"); got != was {
			t.Errorf("refused, and yet changed:\n%s", got)
		}
		if got := p.Shell("ls -A " + etc15 + " /etc/pgfleet/15-main/.undo"); strings.Contains(got, "check") || strings.Contains(got, "back") {
			t.Errorf("left over: %s", got)
		}
	}
	set := func(run string, sets ...map[string]string) {
		t.Helper()
		p.host.Fleet.Run = run
		p.must(true, settingsTask(sets...))
		p.must(true, &postgresReload{})
	}
	set("run-1", p.withTLSFiles("1", ours), p.withTrust("a", ours, own))
	own.list = own.crl(t, 8, own.revoked, own.good)
	set("run-2", p.withTrust("b", ours, own))
	refused("CN = own has revoked since", lists, "/etc/pgfleet/15-main/b-crl.pem")
	p.WriteFile(lists, pemText("X509 CRL", own.list.Raw), 0o644)

	over := &x509.Certificate{SerialNumber: big.NewInt(9), Subject: pkix.Name{CommonName: "db1"}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}
	block, _ := pem.Decode([]byte(good))
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, over, own.cert, cert.PublicKey, own.key)
	if err != nil {
		t.Fatal(err)
	}
	p.WriteFile(crt, pemText("CERTIFICATE", der), 0o644)
	refused(crt, "is over")
	p.WriteFile(crt, "nothing\n", 0o644)
	refused("could not start", crt)
	p.WriteFile(crt, good, 0o644)

	ours.list = ours.crl(t, 2, ours.revoked, cert)
	p.host.Fleet.CA = testCAs{"clients": ours}
	refused(crt, "was revoked")
	ours.list = ours.crl(t, 3, ours.revoked)

	set("run-3", p.withTrust("c", ours))
	refused(etc15+"own-ca.crt", "an authority that was removed since", "own")
	own.list = own.crl(t, 10) // a newer list that names nobody is no reason
	set("run-4", p.withTrust("d", ours, own))
	if _, wrong := p.back("run-1"); wrong != "" {
		t.Fatal(wrong)
	}
	if got := p.configuration(); got != before {
		t.Errorf("before pgfleet it was\n%s\nand is\n%s", before, got)
	}
	p.restarts("main")
	if got := p.sql("show ssl_crl_file"); got != lists {
		t.Errorf("lists in %s", got)
	}
}
