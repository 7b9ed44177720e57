package tasks

import (
	"bytes"
	"context"
	"crypto/x509"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

// oldBash makes a host's sh a bash of before 5.1, which writes every here-document to a file in /tmp; fullTmp leaves no room there: anybody can do that.
const (
	oldBash = `printf '%s\n' '#!/bin/bash' 'export BASH_COMPAT=5.0' 'exec /bin/bash --posix "$@"' >/bin/sh.new && chmod 755 /bin/sh.new && mv /bin/sh.new /bin/sh`
	fullTmp = `mount -t tmpfs -o size=4k,nr_inodes=1 full /tmp && ! touch /tmp/x 2>/dev/null`
)

// Where a program of the host fails, or cannot be started, nothing is signed by which the policy might be broken.
func TestRestrictedFailsClosed(t *testing.T) {
	t.Parallel()
	l := newLockedHost(t, "dash")
	clients := l.state("clients")
	as := func(name string) caRequest {
		return l.forged("clients", clients.Certificate, func(c *x509.Certificate) { c.Subject.CommonName = name })
	}
	number := clients.NextNumber.Int64()
	emptied := func() caRequest {
		return l.list("clients", number, func(r *x509.RevocationList) { r.RevokedCertificateEntries = nil })
	}
	up := l.state("top").Certificate
	below := l.forgedFor("top", up, l.state("servers").Certificate.PublicKey, func(c *x509.Certificate) {
		c.IsCA, c.MaxPathLen, c.MaxPathLenZero, c.KeyUsage, c.ExtKeyUsage = true, 0, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign, nil
		c.Subject = l.state("servers").Certificate.Subject
	}, "host", "ca1")
	if a := l.ask("top", newCARequest("revoke", "serial", pki.FormatSerial(l.state("servers").Certificate.SerialNumber), "reason", "CACompromise")); a[0].Refused != "" {
		t.Fatal(a[0].Refused)
	}
	for _, c := range []struct {
		name, authority string
		tool, when      string // the tool that is killed, when its arguments have this
		request         caRequest
	}{
		{"a reserved user", "clients", "tr", "A-Z", as("repLicator")},
		{"the day's number", "clients", "find", "-mtime", as("app_1")},
		{"an emptied list, compared by nobody", "clients", "awk", "-v now", emptied()},
		{"an emptied list", "clients", "find", "revoked", emptied()},
		{"an authority whose key was revoked", "top", "find", "FILENAME", below},
	} {
		// What is in /usr/sbin is found first.
		l.sb.Shell(`printf '#!/bin/sh\ncase "$*" in *"%s"*) kill -9 $$ ;; esac\nexec %s "$@"\n' "$2" "$(command -v "$1")" >/usr/sbin/"$1" && chmod 755 /usr/sbin/"$1"`, c.tool, c.when)
		if a := l.ask(c.authority, c.request); len(a) != 1 || a[0].Refused == "" {
			t.Errorf("%s: %+v", c.name, a)
		}
		l.sb.Shell(`rm /usr/sbin/"$1"`, c.tool)
	}
	if a := l.ask("clients", as("app_1"), l.list("clients", number, func(*x509.RevocationList) {})); a[0].Refused != "" || a[1].Refused != "" {
		t.Errorf("with all tools again: %+v", a)
	}
	l.sb.Shell(oldBash)
	l.sb.Shell(fullTmp)
	for _, name := range []string{"mallory", "postgres"} {
		out, errs, err := l.call(append([]byte("authority clients\n"), caStep(pki.Authority{}, time.Now(), as(name)).Stdin...), nil)
		if err == nil || strings.Contains(out, "answer certificate ok") {
			t.Errorf("%s, with a full /tmp: %v %s %s", name, err, out, errs)
		}
	}
}

// Who does not read the answers keeps nobody else from the authority.
func TestRestrictedUnread(t *testing.T) {
	t.Parallel()
	l := newLockedHost(t, "dash")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	ctx, end := context.WithCancel(context.Background())
	defer end()
	cmd := l.sb.Command(ctx, pki.RestrictedProgram)
	cmd.Stdin = strings.NewReader("authority clients\npgfleet-ca 1 0\n" + strings.Repeat("request status\nend\n", 60))
	cmd.Stdout = write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	// More than a pipe takes is told. Whoever has begun to tell has looked at the records, and locked them.
	for waiting := 0; waiting < 4096; {
		time.Sleep(20 * time.Millisecond)
		if waiting, err = unix.IoctlGetInt(int(read.Fd()), unix.TIOCINQ); err != nil {
			t.Fatal(err)
		}
	}
	s := l.state("clients")
	if a := l.ask("clients", l.list("clients", s.NextNumber.Int64(), func(*x509.RevocationList) {})); a[0].Refused != "" {
		t.Error(a[0].Refused)
	}
	end()
	_ = cmd.Wait()
}

// A time with a zero byte in it, at which the texts of some awks end, is no time.
func TestPolicyTimes(t *testing.T) {
	t.Parallel()
	ca := judgedCA(t)
	good := seeds(t, ca)[0]
	at := bytes.Index(good, []byte{0x17, 13})
	bad := slices.Concat(good[:at], []byte{0x17, 14}, good[at+2:at+14], []byte{0}, good[at+14:])
	bad[3]++    // of the whole
	bad[at-1]++ // of the validity
	for name, words := range map[string][]string{"awk": {"awk"}, "busybox": {"busybox", "awk"}} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(words[0]); err != nil {
				transporttest.Unable(t, err.Error())
			}
			if said := byPolicyOf(t, words, ca, "certificate", "1234", good); !strings.HasPrefix(said, "client\n") {
				t.Errorf("a good one: %s", said)
			}
			if said := byPolicyOf(t, words, ca, "certificate", "1234", bad); !strings.Contains(said, "time that cannot be read") {
				t.Error(said)
			}
		})
	}
}
