package cmd_test

import (
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

const sshdPath = "/usr/sbin/sshd"

const sshdConfig = `ListenAddress 127.0.0.1
AuthorizedKeysFile {dir}/client.pub
HostKey {dir}/host
PidFile {dir}/pid
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
Subsystem sftp internal-sftp
`

// sshd NAME [TYPE] starts a real sshd on a free port of 127.0.0.1, with a host key of its own (ed25519 unless TYPE says otherwise), and sets $NAME_PORT. The key to log in with is $WORK/NAME/client,
// the user $LOGIN. It ends with the script. sshd NAME again ends the one before and starts anew on the same port with another host key.
func sshd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: sshd NAME [TYPE]")
	}
	kind := append(args, "ed25519")[1]
	me, err := user.Current()
	ts.Check(err)
	ts.Setenv("LOGIN", me.Username)
	dir, name := ts.MkAbs(args[0]), strings.ToUpper(args[0])+"_PORT"
	ts.Check(os.MkdirAll(dir, 0o700))
	if os.Geteuid() == 0 { // for whoever is not root, sshd separates no privileges and needs no such folder
		ts.Check(os.MkdirAll("/run/sshd", 0o755))
	}
	if data, err := os.ReadFile(filepath.Join(dir, "pid")); err == nil {
		endProcess(ts, strings.TrimSpace(string(data)))
	}
	_ = os.Remove(filepath.Join(dir, "host"))
	keygen(ts, kind, filepath.Join(dir, "host"))
	if _, err := os.Stat(filepath.Join(dir, "client")); err != nil {
		keygen(ts, "ed25519", filepath.Join(dir, "client"))
	}
	port := ts.Getenv(name)
	if port == "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		port = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
		ts.Check(l.Close())
		ts.Setenv(name, port)
	}
	config := filepath.Join(dir, "sshd_config")
	ts.Check(os.WriteFile(config, []byte(strings.ReplaceAll(sshdConfig, "{dir}", dir)), 0o600))
	server := exec.Command(sshdPath, "-D", "-e", "-f", config, "-p", port)
	log, err := os.Create(filepath.Join(dir, "log"))
	ts.Check(err)
	server.Stderr = log
	ts.Check(server.Start())
	ts.Defer(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		_ = log.Close()
	})
	for range 200 {
		if c, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	ts.Fatalf("sshd does not listen: %s", ts.ReadFile(filepath.Join(dir, "log")))
}

func keygen(ts *testscript.TestScript, kind, path string) {
	out, err := exec.Command("ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path).CombinedOutput()
	if err != nil {
		ts.Fatalf("ssh-keygen: %v: %s", err, out)
	}
}

// endProcess ends an sshd that this test started, and waits until its port is free.
func endProcess(ts *testscript.TestScript, pid string) {
	n, err := strconv.Atoi(pid)
	ts.Check(err)
	p, err := os.FindProcess(n)
	ts.Check(err)
	_ = p.Kill()
	for range 200 {
		if _, err := os.Stat("/proc/" + pid + "/fd/3"); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// fill FILE… puts environment variables into files: ${DB1_PORT}.
func fill(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o644))
	}
}
