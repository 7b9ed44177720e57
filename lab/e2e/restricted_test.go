package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/lab"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// makeSigner gives a host of authorities the user with whom pgfleet logs in, with the lab's key.
const makeSigner = `useradd -m -s /bin/sh signer && install -d -o signer -g signer -m 700 ~signer/.ssh && install -o signer -g signer -m 600 ~ops/.ssh/authorized_keys ~signer/.ssh/`

// TestRestricted: a fleet whose authorities sign by their own policy, for a login that may do nothing else, and what a stolen controller gets out of them. clients and
// servers are behind a rule of sudo, servers_root behind a forced command of sshd.
func TestRestricted(t *testing.T) {
	f := newFleet(t, lab.Options{DB: 1, Client: 1})
	f = f.with(t,
		"roles: [root_ca]\n", "roles: [root_ca]\n    vars: {ssh_user: signer, become: true}\n",
		"roles: [root_ca]\n  ca3", "roles: [root_ca]\n    vars: {ssh_user: signer}\n  ca3",
		"roles: [intermediate_ca]\n", "roles: [intermediate_ca]\n    vars: {ssh_user: signer}\n",
		`subject: "CN=root-ca1",`, `subject: "CN=root-ca1", mode: restricted, profiles: [client], allowed_names: ["dbuser*", postgres], max_per_day: 20,`,
		`subject: "CN=root-ca2",`, `subject: "CN=root-ca2", mode: restricted, allowed_names: ["*.example.net"],`,
		`subject: "CN=intermediate.example.net",`, `subject: "CN=intermediate.example.net", mode: restricted, profiles: [server], allowed_names: ["*.example.net", "10.88.*"],`)
	for _, host := range []string{"ca1", "ca2", "ca3"} {
		f.sh(t, host, makeSigner)
	}
	f.sh(t, "ca2", ": >~signer/.ssh/authorized_keys")
	f.want(t, 4, []string{"sudo does not let it run /usr/local/lib/pgfleet/ca", "pgfleet authority restrict"}, "run", shipped)
	key := filepath.Join(f.lab.Folder(), "id_ed25519.pub")
	for _, args := range [][]string{{"clients"}, {"servers_root", "--key", key}, {"servers"}} {
		args = append([]string{"authority", "restrict", "-e", "ssh_user=ops"}, args...)
		f.want(t, 0, []string{"install /usr/local/lib/pgfleet/ca"}, args...)
		f.want(t, 0, []string{"1 ok"}, append(args, "--verbose")...)
	}
	f.finishes(t)
	f.want(t, 0, []string{"its policy"}, "hosts", "--ping")
	f.want(t, 0, []string{"clients: revoke"}, "revoke", "--name", "dbuser1", "--host", "app1", "-y")
	f.expectRefused(t, "app1", "db1")
	f.finishes(t)
	f.want(t, 0, nil, "run", "crl", "-e", "list=new")
	f.want(t, 0, nil, "certs", "--fail-within", "30d")
	f.want(t, 0, []string{"servers: renew its certificate"}, "rotate", "--force", "-l", "all")
	f.finishes(t)
	t.Run("the stolen controller", f.stolen)
	t.Run("a host that is not up to date", f.outdated)
}

// ssh is somebody who has taken over the machine that pgfleet runs on.
func (f *fleet) ssh(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ssh", append([]string{"-F", filepath.Join(f.lab.Folder(), "ssh_config"), "-l", "signer", "-o", "BatchMode=yes"}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return fmt.Sprintf("%s(%v)", out, err)
}

func (f *fleet) stolen(t *testing.T) {
	const program = "sudo -n /usr/local/lib/pgfleet/ca"
	keys := map[string]string{}
	for host, name := range map[string]string{"ca1": "clients", "ca2": "servers_root"} {
		keys[host] = strings.Split(f.sh(t, host, "cat "+caDir(name)+"/keys/ca.key"), "\n")[1]
	}
	issued := f.sh(t, "ca1", "ls "+caDir("clients")+"/issued") + f.sh(t, "ca2", "ls "+caDir("servers_root")+"/issued")
	refused := func(what, host, want, out string) {
		t.Helper()
		if !strings.Contains(out, want) {
			t.Errorf("%s: %s, wanted %q", what, out, want)
		}
		if strings.Contains(out, keys[host]) || strings.Contains(out, "uid=0") {
			t.Errorf("%s: it came out: %s", what, out)
		}
	}
	// What the program is asked.
	for host, name := range map[string]string{"ca1": "clients", "ca2": "servers_root"} {
		for what, c := range f.wanted(t, host, name) {
			refused(what, host, c.want, f.ssh(t, "authority "+name+"\npgfleet-ca 1 0\n"+c.request+"end\n", host, program))
			if log := f.sh(t, host, "tail -n 1 "+caDir(name)+"/log"); !strings.Contains(log, c.want) || !strings.Contains(log, "warning signer at ") {
				t.Errorf("%s of %s is not logged: %s", what, name, log)
			}
		}
		if stat := f.sh(t, host, "stat -c '%U %a' "+caDir(name)+"/log"); stat != "root 600" {
			t.Errorf("the log is %s", stat)
		}
	}
	// What else a login with sudo tries.
	f.sh(t, "ca1", ": >/tmp/x.so; chmod 644 /tmp/x.so")
	key := caDir("clients") + "/keys/ca.key"
	for command, want := range map[string]string{
		"cat " + key:                "Permission denied",
		"sudo -n cat " + key:        "a password is required",
		"sudo -n /bin/sh -c id":     "a password is required",
		"sudo -n -s":                "a password is required",
		"sudo -n -u ops sudo -n id": "a password is required",
		"sudo -n sudoedit /etc/pgfleet/policy/clients":       "required",
		program + " " + key:                                  "a password is required",
		program + " '$(id)'":                                 "a password is required",
		"sudo -n LD_PRELOAD=/tmp/x.so " + program[8:]:        "not allowed to set the following environment variables",
		"LD_PRELOAD=/tmp/x.so BASH_ENV=/tmp/x.so " + program: "nothing was asked",
		"ENV=/tmp/x.so PATH=/tmp IFS=/ /usr/bin/" + program:  "nothing was asked",
		"SSH_ORIGINAL_COMMAND='cat " + key + "' " + program:  "something else was asked for",
		"echo x >>/etc/pgfleet/policy/clients":               "Permission denied",
		"echo x >>/usr/local/lib/pgfleet/ca":                 "Permission denied",
		"ls " + caDir("clients"):                             "Permission denied",
	} {
		refused(command, "ca1", want, f.ssh(t, "", "ca1", command))
	}
	// What a key with a forced command is used for.
	for _, c := range []struct{ what, stdin, want, log string }{
		{"cat " + caDir("servers_root") + "/keys/ca.key", "", "something else was asked for", "something else was asked for: cat /etc/pgfleet/ca/servers_root/keys/ca.key"},
		{"sh", "id\n", "something else was asked for", "asked for: sh"},
		{program + "; id", "", "something else was asked for", "; id"},
		{"", "id\n", "spoken to by pgfleet alone", "spoken to by pgfleet alone"},
	} {
		args := []string{"-T", "-o", "SetEnv=LD_PRELOAD=/tmp/x.so", "ca2"}
		if c.what != "" {
			args = append(args, c.what)
		}
		refused(c.what, "ca2", c.want, f.ssh(t, c.stdin, args...))
		if log := f.sh(t, "ca2", "tail -n 1 /var/log/pgfleet-ca.log"); !strings.Contains(log, c.log) {
			t.Errorf("%q is not logged: %s", c.what, log)
		}
	}
	refused("SFTP", "ca2", "exit status 2", f.ssh(t, "\x00\x00\x00\x05\x01\x00\x00\x00\x03", "-s", "ca2", "sftp"))
	refused("a terminal", "ca2", "PTY allocation request failed", f.ssh(t, "", "-tt", "ca2"))
	refused("a tunnel", "ca2", "(exit status 255)", f.ssh(t, "", "-W", "127.0.0.1:22", "ca2"))
	if now := f.sh(t, "ca1", "ls "+caDir("clients")+"/issued") + f.sh(t, "ca2", "ls "+caDir("servers_root")+"/issued"); now != issued {
		t.Errorf("there are other records than before:\n%s\n%s", issued, now)
	}
	// Nothing of it keeps the owner from going on.
	f.finishes(t)
}

// wanted is a request that is to be refused.
type wanted struct{ request, want string }

// wanted are what a stolen controller wants most of an authority.
func (f *fleet) wanted(t *testing.T, host, name string) map[string]wanted {
	t.Helper()
	certs, err := pki.ParseCertificates([]byte(f.sh(t, host, "cat "+caDir(name)+"/certs/ca.crt") + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	ca := certs[0]
	number := f.sh(t, host, "cat "+caDir(name)+"/crlnumber")
	next, ok := new(big.Int).SetString(number, 16)
	if !ok {
		t.Fatalf("crlnumber is %q", number)
	}
	tbs, _, err := pki.CRLTBS(ca, next, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	leaf := func(template pki.Template) string { return certificateRequest(t, ca, template) }
	client := pki.Template{Profile: pki.ProfileClient, Subject: pkix.Name{CommonName: "dbuser1"}, ValidFor: 24 * time.Hour}
	super, long := client, client
	super.Subject.CommonName = "postgres"
	long.ValidFor = time.Until(ca.NotAfter) - time.Hour
	reserved := `the user "postgres" is reserved`
	if name != "clients" {
		reserved = `the name "postgres" is not allowed`
	}
	return map[string]wanted{
		"a sub-CA":         {leaf(pki.Template{Profile: pki.ProfileCA, Subject: pkix.Name{CommonName: "mine"}, ValidFor: time.Hour}), "an authority /CN=mine is asked for"},
		"CN=postgres":      {leaf(super), reserved},
		"ten years":        {leaf(long), "would live longer than the 398 days"},
		"an emptied list":  {"request crl\nnumber " + number + "\nalgorithm ecdsa-with-SHA256\ntbs " + octal(tbs) + "\n", "the list lacks the revoked certificate"},
		"the key":          {"request fetch\nserial ../keys/ca.key\n", "this authority has not issued that certificate"},
		"a root of itself": {"request root\nserial 0A\nalgorithm ecdsa-with-SHA256\nfresh yes\ntbs " + octal(tbs) + "\n", "needs root on this host"},
	}
}

func certificateRequest(t *testing.T, ca *x509.Certificate, template pki.Template) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := pki.NewSerial(nil)
	if err != nil {
		t.Fatal(err)
	}
	tbs, algorithm, err := pki.TBS(template, key.Public(), ca, ca.PublicKey, serial, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	id, err := pki.KeyID(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("request certificate\nid %s\nserial %s\nalgorithm %s\nprofile client\nhost app1\nkey %s\nsubject /CN=dbuser1\nfresh yes\ntbs %s\n", id, pki.FormatSerial(serial), algorithm, id, octal(tbs))
}

// octal writes bytes as the program reads them.
func octal(data []byte) string {
	var b strings.Builder
	for _, c := range data {
		fmt.Fprintf(&b, `\%03o`, c)
	}
	return b.String()
}

// outdated: another program, a policy that allows more, one that is stricter.
func (f *fleet) outdated(t *testing.T) {
	f.sh(t, "ca1", "echo '# by hand' >>/usr/local/lib/pgfleet/ca; sed -i 's/^life .*/life 4000/; /^reserved postgres/d' /etc/pgfleet/policy/clients")
	f.want(t, 0, []string{"is not that of this version", "allows more than the inventory (the user postgres, a life of 4000 days instead of 398)", "pgfleet authority restrict clients"}, "run", shipped)
	f.want(t, 0, []string{"install /usr/local/lib/pgfleet/ca, install /etc/pgfleet/policy/clients"}, "authority", "restrict", "clients", "-e", "ssh_user=ops")
	f.sh(t, "ca1", "sed -i 's/^name dbuser.*/name dbuser2/' /etc/pgfleet/policy/clients")
	if out := f.want(t, 0, nil, "run", shipped); strings.Contains(out, "notice: /etc/pgfleet/policy") {
		t.Errorf("a stricter policy is complained about:\n%s", out)
	}
	f.want(t, 2, []string{`/etc/pgfleet/policy/clients: the name "dbuser1" is not allowed`}, "rotate", "--force", "-l", "app1")
}
