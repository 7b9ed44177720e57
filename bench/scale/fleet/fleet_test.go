package fleet

import (
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/pgfleet/pgfleet/cmd"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

// start gives a small fleet. Hosts are told apart by their address in 127.0.0.0/8, which other systems do not have.
func start(t *testing.T, opt Options) *Fleet {
	t.Helper()
	if l, err := net.Listen("tcp4", "127.9.9.9:0"); err != nil {
		transporttest.Unable(t, "all of 127.0.0.0/8 has to be this machine's")
	} else {
		l.Close()
	}
	if _, err := exec.LookPath("openssl"); err != nil {
		transporttest.Unable(t, "the authorities need openssl")
	}
	opt.Dir, opt.Root = t.TempDir(), "../../.."
	if opt.Hosts == 0 {
		opt.Hosts = 8
	}
	f, err := Start(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	t.Setenv("HOME", opt.Dir)
	return f
}

// pgfleet runs a command line as a user does, and wants an exit code.
func pgfleet(t *testing.T, f *Fleet, code int, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	got := cmd.Main(append(args[:1:1], append([]string{"-i", f.Inventory()}, args[1:]...)...),
		&cmd.System{In: strings.NewReader(""), Out: &out, Err: &errs, Getenv: os.Getenv, Now: time.Now,
			Size: func(any) (int, int, bool) { return 0, 0, false }})
	counts, unknown := f.Counts()
	if got != code || counts.Unknown > 0 {
		t.Fatalf("%v: exit %d, want %d; not in the model: %d %s\n%s%s", args, got, code, counts.Unknown, unknown, out.String(), errs.String())
	}
	return out.String()
}

// The whole job on hosts that have nothing; then there is nothing left to do, with and without a check, and what was tested was as wanted.
func TestWholeJob(t *testing.T) {
	f := start(t, Options{})
	if out := pgfleet(t, f, 7, "run", "--check", "--detailed-exitcode", "mtls"); !strings.Contains(out, "8 hosts: 8 would change") {
		t.Errorf("check of a new fleet: %s", out)
	}
	if out := pgfleet(t, f, 0, "run", "mtls"); !strings.Contains(out, "8 hosts: 8 changed") || !strings.Contains(out, " 0 differ, 0 not proven") {
		t.Errorf("first run: %s", out)
	}
	counts, _ := f.Counts()
	if signed := f.Servers() + f.Clients() + 1; counts.Signed < signed || counts.SigningBatches > counts.Signed || counts.Forwards == 0 || counts.Files == 0 || counts.Tests == 0 {
		t.Errorf("first run: %+v", counts)
	}
	if out := pgfleet(t, f, 0, "run", "mtls"); !strings.Contains(out, "8 hosts: 8 ok") {
		t.Errorf("second run: %s", out)
	}
	pgfleet(t, f, 0, "run", "--check", "--detailed-exitcode", "mtls")
	pgfleet(t, f, 0, "exec", "-l", "all", "--", "true")
	pgfleet(t, f, 0, "verify")
	if out := pgfleet(t, f, 0, "certs", "--fail-within", "30d"); !strings.Contains(out, " on 8 hosts: ") || !strings.HasSuffix(out, " ok\n") {
		t.Errorf("certs: %s", out)
	}
	f.withRole("client")[0].disk.remove("/home/app/.postgresql/pgfleet")
	if out := pgfleet(t, f, 0, "run", "mtls"); !strings.Contains(out, "8 hosts: 7 ok, 1 changed") && !strings.Contains(out, "8 hosts: 1 changed, 7 ok") {
		t.Errorf("after a client lost its files: %s", out)
	}
}

// Files go through the shell where a second session is refused, and hosts behind a bastion cost one connection.
func TestLimits(t *testing.T) {
	f := start(t, Options{MaxSessions: 1, Bastion: true, Startups: [3]int{10, 30, 100}, HashedKnownHosts: true})
	pgfleet(t, f, 0, "run", "-l", "all:!gate*", "mtls")
	counts, _ := f.Counts()
	if counts.Refused == 0 || counts.Files > 0 || counts.Dropped > 0 {
		t.Errorf("%+v", counts)
	}
}

// Connection tests are told beforehand, grow with the pairs in use, and are made by at most four clients at a server at a time.
func TestVerification(t *testing.T) {
	f := start(t, Options{Hosts: 45, PerServer: 20, TestTime: 20 * time.Millisecond})
	for _, c := range []struct {
		args []string
		most int
	}{
		// A good login each before and after the rules are there, and five refusals a server.
		{[]string{"run", "mtls"}, 2*f.Clients() + 5*f.Servers()},
		{[]string{"run", "mtls"}, f.Clients() + 5*f.Servers()},
	} {
		f.Reset()
		out := pgfleet(t, f, 0, append(c.args, "-o", "jsonl")...)
		announced := 0
		for _, m := range regexp.MustCompile(`"summary":"(\d+) test connections from \d+ clients to \d+ clusters, at most 4 clients at a server`).FindAllStringSubmatch(out, -1) {
			n, _ := strconv.Atoi(m[1])
			announced += n
		}
		counts, _ := f.Counts()
		if counts.Tests == 0 || counts.Tests != announced || counts.Tests > c.most || counts.MostTesters > 4 {
			t.Errorf("%v: %d tests, %d were announced, at most %d expected; %d clients at a server at once", c.args, counts.Tests, announced, c.most, counts.MostTesters)
		}
	}
}

// What the model does not know is refused and counted.
func TestUnknown(t *testing.T) {
	f := start(t, Options{})
	client := dial(t, f)
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if out, _ := session.CombinedOutput("rm -rf /"); !strings.Contains(string(out), "not in the model") {
		t.Errorf("%s", out)
	}
	h := f.order[4]
	for _, s := range []*step{{words: []string{"/bin/sh", "-c", "reboot", "sh"}}, {words: []string{"reboot"}}, {words: []string{"cat", "/etc/passwd"}}} {
		if r := h.do(s); r.code != 97 {
			t.Errorf("%v: %d", s.words, r.code)
		}
	}
	if counts, first := f.Counts(); counts.Unknown != 4 || !strings.Contains(first, "reboot") {
		t.Errorf("%+v %s", counts, first)
	}
}

// MaxStartups 1:100:1 lets one connection begin, and drops the next until that one has logged in.
func TestStartups(t *testing.T) {
	f := start(t, Options{Startups: [3]int{1, 100, 1}})
	place := net.JoinHostPort(f.order[3].loopback, strconv.Itoa(f.port()))
	first, err := net.Dial("tcp", place)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := io.ReadFull(first, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	second, err := net.Dial("tcp", place)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if n, err := second.Read(make([]byte, 4)); err == nil {
		t.Errorf("%d bytes came", n)
	}
}

func dial(t *testing.T, f *Fleet) *ssh.Client {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(f.opt.Dir, "id_ed25519"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	h := f.order[3]
	hostKey, err := h.hostKey()
	if err != nil {
		t.Fatal(err)
	}
	client, err := ssh.Dial("tcp", net.JoinHostPort(h.loopback, strconv.Itoa(f.port())),
		&ssh.ClientConfig{User: "ops", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.FixedHostKey(hostKey.PublicKey())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}
