package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/lab"
	"github.com/pgfleet/pgfleet/lab/labtest"
)

// TestAuthorityLost: an authority whose key has a passphrase is backed up, goes on for a while, and is lost with its host's disk. Restored, it is not below what the fleet has seen.
func TestAuthorityLost(t *testing.T) {
	word := filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(word, []byte("of the clients' authority\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := newFleet(t, lab.Options{DB: 1, Client: 2}).with(t, `subject: "CN=root-ca1"`, `subject: "CN=root-ca1", passphrase: {file: `+word+`}`)
	f.finishes(t)
	if head := f.sh(t, "ca1", "head -n 1 "+caDir("clients")+"/keys/ca.key"); head != "-----BEGIN ENCRYPTED PRIVATE KEY-----" {
		t.Errorf("the key begins with %s", head)
	}
	wrong := f.with(t, word, writeInventory(t, "another\n"))
	before := f.number(t, "ca1", "clients")
	wrong.want(t, 2, []string{"authority clients: the passphrase does not open " + caDir("clients") + "/keys/ca.key"}, "run", "crl", "-e", "list=new")
	if now := f.number(t, "ca1", "clients"); now != before {
		t.Errorf("list %s became %s", before, now)
	}

	identity := filepath.Join(t.TempDir(), "identity")
	if out, err := exec.Command("age-keygen", "-o", identity).CombinedOutput(); err != nil {
		t.Fatalf("age-keygen: %v: %s", err, out)
	}
	public, err := exec.Command("age-keygen", "-y", identity).Output()
	if err != nil {
		t.Fatal(err)
	}
	secret, err := os.ReadFile(identity)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	f.want(t, 0, []string{"encrypted by age"}, "authority", "backup", "--recipient", strings.TrimSpace(string(public)), "--to", folder)
	f.want(t, 0, []string{"clients: on ca1.example.net, sound", "lacks nothing"}, "authority", "check", "--in", folder, "--open-keys")
	wrong.want(t, 2, []string{"clients: on ca1.example.net, the passphrase does not open"}, "authority", "check", "clients", "--open-keys")
	backups, err := filepath.Glob(filepath.Join(folder, "clients-*.tar.gz"))
	if err != nil || len(backups) != 1 {
		t.Fatalf("backups %q, %v", backups, err)
	}

	// app1's certificate is revoked and replaced after the backup.
	f.want(t, 0, nil, "revoke", "--host", "app1.example.net", "--reason", "superseded", "-y")
	old := f.sh(t, "app1", "cat "+home+"/.postgresql/pgfleet/dbuser1/v/*/client.crt")
	f.finishes(t)
	before = f.number(t, "ca1", "clients")
	f.want(t, 8, []string{"clients: backup " + backups[0] + " is out of date: 1 issued since, 1 revoked since"}, "authority", "check", "--in", folder)

	f.sh(t, "ca1", "rm -rf "+caDir("clients"))
	f.want(t, 2, []string{"clients: on ca1.example.net, the authority is gone, and the fleet has its certificate"}, "authority", "check", "clients")
	f.want(t, 2, []string{"has the certificate of CN=root-ca1 already", "authority restore FILE"}, "run", shipped) // and nothing is in the way of the backup
	restore := []string{"authority", "restore", backups[0], "--identity", "/root/identity", "-y"}
	f.want(t, 2, []string{"there is no file /root/identity on this host"}, restore...)
	labtest.Feed(t, f.lab, "ca1", string(secret), "sh", "-c", "umask 077; cat >/root/identity")
	if err := f.lab.Stop(t.Context(), "app2"); err != nil {
		t.Fatal(err)
	}
	f.want(t, 4, []string{"app2.example.net could not be looked at", "nothing was restored"}, append(restore, "--connect-timeout", "2s")...)
	if err := f.lab.Start(t.Context(), "app2"); err != nil {
		t.Fatal(err)
	}
	f.want(t, 0, []string{"take 1 certificate that hosts have into its records, take 1 revocation from lists in force into its records"}, restore...)
	f.want(t, 2, []string{"holds an authority, which is not overwritten"}, restore...)
	f.want(t, 0, []string{"clients: on ca1.example.net, sound"}, "authority", "check", "clients")
	if now := f.number(t, "ca1", "clients"); now <= before {
		t.Errorf("list %s became %s", before, now)
	}
	serial := labtest.Feed(t, f.lab, "ca1", old, "openssl", "x509", "-noout", "-serial")
	if list := f.sh(t, "ca1", "openssl crl -noout -text -in "+caDir("clients")+"/crl/ca.crl"); !strings.Contains(list, strings.TrimPrefix(serial, "serial=")) {
		t.Errorf("%s is not revoked any more:\n%s", serial, list)
	}
	f.want(t, 0, []string{"bring newer lists to cluster 15/main"}, "run", "crl")
	f.finishes(t)
	f.want(t, 0, nil, "revoke", "--host", "app1.example.net", "-y", "--all")
	f.expectRefused(t, "app1", "db1")
	expectLogin(t, f.lab, "app2", "dbuser1", true)
}
