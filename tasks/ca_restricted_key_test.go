package tasks

import (
	"context"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// A key with a passphrase in mode restricted: from the file that the policy names and from no other one, and as it is typed in.
func TestRestrictedPassphrase(t *testing.T) {
	t.Parallel()
	declared := map[string]pki.Authority{
		"filed": {Name: "filed", Host: "ca1", Subject: "CN=filed", ValidFor: 10 * year, Passphrase: map[string]any{"host_file": "/etc/pgfleet/filed.pass"}},
		"typed": {Name: "typed", Host: "ca1", Subject: "CN=typed", ValidFor: 10 * year},
	}
	l := newLockedHostWith(t, "dash", "umask 077; mkdir -m 755 /etc/pgfleet; echo 'open sesame' >/etc/pgfleet/filed.pass; echo 'its secret' >/root/other", declared)
	for _, name := range []string{"filed", "typed"} {
		request, _ := csr(t)
		if _, err := l.host.Fleet.CA.Issue(t.Context(), name, IssueRequest{CSR: request, Template: client("app_1"), Host: "e"}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The same key, closed by hand with a passphrase that somebody types in.
	l.sb.Shell(`cd /etc/pgfleet/ca/typed/keys && umask 077 && openssl pkcs8 -topk8 -v2 aes-256-cbc -in ca.key -passout pass:typed-in -out new && mv new ca.key`)
	typed := declared["typed"]
	typed.Passphrase, typed.Mode = map[string]any{"prompt": true}, "restricted"
	ask := func(text string) *caReply {
		t.Helper()
		step, err := KeySecret(func(context.Context, pki.Authority, bool) ([]byte, error) { return []byte(text), nil }).open(t.Context(), typed, false, caStep(typed, l.host.Fleet.Now, l.forgedAt("typed")))
		if err != nil {
			t.Fatal(err)
		}
		results, err := l.sb.Do(t.Context(), step)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := parseCAReply(results[0].Stdout)
		if err != nil {
			t.Fatalf("%v: %s %s", err, results[0].Stdout, results[0].Stderr)
		}
		return reply
	}
	if reply := ask("typed-in"); reply.Answers[0].Refused != "" {
		t.Errorf("typed in: %+v", reply.Answers)
	}
	if reply := ask("something else"); reply.Answers[0].Refused == "" {
		t.Errorf("a wrong passphrase: %+v", reply.Answers)
	}
	// Where the policy names a file, nobody tries others: some tokens lock themselves after a few.
	guessed, _, err := l.call([]byte("authority filed\npgfleet-ca 1 0\npassphrase "+octal([]byte("open sesame"))+"\nrequest status\nend\n"), nil)
	if err != nil || !strings.Contains(guessed, "answer unlock refused\nreason /etc/pgfleet/policy/filed names a file") {
		t.Errorf("typed in where a file is named: %v %s", err, guessed)
	}
	// Another file than the policy names is not looked at.
	for _, place := range []string{"/root/other", "/etc/shadow", "/nonexistent"} {
		filed := l.host.Fleet.Authorities["filed"]
		filed.Passphrase = map[string]any{"host_file": place}
		step, err := KeySecret(nil).open(t.Context(), filed, false, AuthorityProbe(filed))
		if err != nil {
			t.Fatal(err)
		}
		results, err := l.sb.Do(t.Context(), step)
		if err != nil {
			t.Fatal(err)
		}
		if out := string(results[0].Stdout); !strings.Contains(out, "answer unlock refused") || !strings.Contains(out, "does not name that file with a passphrase") {
			t.Errorf("%s: %s", place, out)
		}
		if log := l.log("filed"); !strings.HasSuffix(strings.TrimSpace(log), "does not name that file with a passphrase (passphrase_file)") {
			t.Errorf("%s is not logged:\n%s", place, log)
		}
	}
	for _, name := range []string{"filed", "typed"} {
		for _, secret := range []string{"open sesame", "typed-in", "something else", "its secret"} {
			if strings.Contains(l.log(name), secret) {
				t.Errorf("the log of %s has a passphrase in it", name)
			}
		}
	}
}

// forgedAt is a good request for a certificate.
func (l *lockedHost) forgedAt(name string) caRequest {
	l.t.Helper()
	ca, err := l.host.Fleet.CA.Certificate(name)
	if err != nil {
		l.t.Fatal(err)
	}
	_, pub := csr(l.t)
	r, err := certificateRequest(ca, pub, IssueRequest{Template: client("app_1"), Host: "e", Fresh: true}, l.host.Fleet.Now)
	if err != nil {
		l.t.Fatal(err)
	}
	return r
}
