package transporttest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

func TestSandboxSuite(t *testing.T) {
	sb := NewSandbox(t)
	Suite(t, func(t *testing.T) transport.Conn {
		c, err := dialSandbox(sb)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	})
}

// TestSandboxIsPrivate: nothing that happens inside is seen outside, and nothing is left.
func TestSandboxIsPrivate(t *testing.T) {
	var base string
	t.Run("inside", func(t *testing.T) {
		sb := NewSandbox(t)
		sb.WriteFile("/etc/pgfleet-sandbox-test/file", "inside", 0o640)
		if got := sb.ReadFile("/etc/pgfleet-sandbox-test/file"); got != "inside" {
			t.Errorf("read %q", got)
		}
		if b, err := os.ReadFile(sb.Path("/etc/pgfleet-sandbox-test/file")); err != nil || string(b) != "inside" {
			t.Errorf("from outside: %q %v", b, err)
		}
		if name := sb.Exec("hostname"); name != "sandbox" {
			t.Errorf("host name %q", name)
		}
		if links := sb.Shell(`ls /sys/class/net; ls /tmp /run | head -c 200`); strings.Contains(links, "eth") {
			t.Errorf("not alone: %s", links)
		}
		// What root does to a device inside would be done to the machine's: the tests may run on somebody's desk.
		var outside syscall.Stat_t
		if err := syscall.Stat("/dev/null", &outside); err != nil {
			t.Fatal(err)
		}
		if inside := sb.Exec("stat", "-c", "%d %i %a", "/dev/null"); inside == fmt.Sprintf("%d %d 666", outside.Dev, outside.Ino) || !strings.HasSuffix(inside, " 666") {
			t.Errorf("/dev/null is %s, the machine's is %d %d", inside, outside.Dev, outside.Ino)
		}
		sb.Shell(`sleep 1000 </dev/null >/dev/null 2>&1 &`)
		base = sb.Shell(`cut -d" " -f2 /proc/mounts`)
	})
	if _, err := os.Stat("/etc/pgfleet-sandbox-test"); !os.IsNotExist(err) {
		t.Errorf("the machine has the sandbox's file: %v", err)
	}
	if mounts, err := os.ReadFile("/proc/mounts"); err != nil || strings.Contains(string(mounts), "pgfleet /") {
		t.Errorf("a mount is left: %v %s (inside: %s)", err, mounts, base)
	}
}

// TestOtherTools runs the suite where the usual tools are missing or behave as on other systems.
func TestOtherTools(t *testing.T) {
	for name, program := range map[string]string{
		"bash is sh": `ln -sf bash /bin/sh`,
		"few tools": `rm /usr/bin/timeout /usr/bin/setpriv /usr/bin/getent /usr/bin/head
cat >/usr/local/bin/head <<"END"
#!/usr/bin/perl
# Reads ahead, as the head of busybox does.
my $n = $ARGV[1] || 0;
$| = 1; while (sysread(STDIN, my $b, 65536)) { print substr($b, 0, $n); $n -= length $b; if ($n <= 0) { last } }
END
chmod 755 /usr/local/bin/head`,
		"su alone":      `rm /usr/bin/timeout /usr/bin/setpriv /usr/sbin/runuser /usr/bin/setsid`,
		"busybox is sh": `ln -sf "$(command -v busybox)" /bin/sh`,
		"busybox": `b=$(command -v busybox) || exit 0
mkdir /bb; for a in $("$b" --list); do case $a in
find | mount | umount | useradd | getent | openssl | ps | ip | hostname | nsenter) ;; *) ln -s "$b" "/usr/local/sbin/$a" ;; esac; done
ln -sf "$b" /bin/sh`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath("busybox"); strings.HasPrefix(name, "busybox") && err != nil {
				Unable(t, "busybox is not installed")
			}
			sb := NewSandbox(t)
			sb.Shell(program)
			if name == "su alone" {
				testNoSetsid(t, sb)
				return
			}
			connect := func(t *testing.T) transport.Conn {
				c, err := dialSandbox(sb)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				return c
			}
			testAhead(t, sb)
			if name == "busybox is sh" { // the rest is in "busybox", where tools are missing that steps together need
				runSuite(t, connect, neighbours)
				return
			}
			Suite(t, connect)
		})
	}
}

// TestRustCoreutils: with those of Ubuntu since 25.10, what is not there is not there, and what its limit ends has reached its limit. They number their errors,
// and timeout ends otherwise where it would have killed.
func TestRustCoreutils(t *testing.T) {
	t.Parallel()
	sb := NewSandbox(t)
	sb.Shell(`mkdir /usr/lib/gnu; mv /usr/bin/stat /usr/bin/timeout /usr/lib/gnu
cat >/usr/bin/stat <<"END"
#!/bin/sh
{ /usr/lib/gnu/stat "$@" 2>&1 >&3 | sed 's/: No such file or directory$/& (os error 2)/; s/: Not a directory$/& (os error 20)/; s/: Permission denied$/& (os error 13)/' >&2; } 3>&1
e=$(/usr/lib/gnu/stat "$@" 2>&1 >/dev/null); [ -z "$e" ]
END
cat >/usr/bin/timeout <<"END"
#!/bin/sh
/usr/lib/gnu/timeout "$@"; code=$?
[ "$code" != 124 ] || code=125
exit "$code"
END
chmod 755 /usr/bin/stat /usr/bin/timeout`)
	runSuite(t, func(t *testing.T) transport.Conn {
		c, err := dialSandbox(sb)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}, []suiteCase{{"files are read", testRead}, {"reads that fail", testReadFails}, {"limits", testLimits}, {"neighbours and limits", testTogetherLimits}})
}

// TestFullTmp: steps act as other users where nothing more fits into /tmp, and the shell wants a file there for each here-document, as bash before 5.1 does.
func TestFullTmp(t *testing.T) {
	t.Parallel()
	sb := NewSandbox(t)
	sb.Shell(`mount -t tmpfs -o size=64k none /tmp; ! dd if=/dev/zero of=/tmp/full 2>/dev/null; rm /bin/sh
cat >/bin/sh <<"END"
#!/bin/bash
export BASH_COMPAT=5.0
exec -a sh /bin/bash "$@"
END
chmod 755 /bin/sh`)
	c := sb.Connect()
	r, err := c.Do(t.Context(), transport.Step{Shell: "echo a"}, transport.Step{Shell: "echo b; cat <<X\nc\nX", Probe: true},
		transport.Step{Shell: `id -un; echo "$PGFLEET_UID $HOME"`, User: "postgres"})
	if err != nil || len(r) != 3 || string(r[0].Stdout) != "a\n" || !strings.HasPrefix(string(r[2].Stdout), "postgres\n") || !strings.Contains(string(r[2].Stdout), "/var/lib/postgresql\n") {
		t.Errorf("%+v %v", r, err)
	}
	if !strings.Contains(string(r[1].Stderr), "here-document") {
		t.Errorf("the shell makes no file for a here-document: %q, %q", r[1].Stdout, r[1].Stderr)
	}
}

// testAhead: steps go with the program, on every host; a batch that is another one comes after them.
func testAhead(t *testing.T, sb *Sandbox) {
	die := transport.Step{Shell: `echo dies; kill -KILL $$`, Probe: true}
	steps := []transport.Step{{Shell: `echo a "$1"`, Argv: []string{strings.Repeat("long ", 100)}}, die, {Shell: `echo b; echo err >&2`}, {Argv: []string{"cat"}, Stdin: []byte("in\n")},
		{Argv: []string{"id", "-un"}, User: "postgres"}, {Read: "/etc/hostname"}, {Argv: []string{"dd", "if=/dev/zero", "bs=1000", "count=300"}}}
	for i := range steps {
		steps[i].Probe = true
	}
	c, err := dialSandbox(sb, steps...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := c.Do(t.Context(), steps...)
	if err != nil || len(r) != 7 || !strings.HasPrefix(string(r[0].Stdout), "a long ") || r[1].Code != 137 || string(r[1].Stdout) != "dies\n" || string(r[2].Stdout)+string(r[2].Stderr) != "b\nerr\n" ||
		string(r[3].Stdout) != "in\n" || string(r[4].Stdout) != "postgres\n" || r[5].File == nil || len(r[6].Stdout) != 300000 {
		t.Errorf("%.2000s %v", fmt.Sprintf("%+v", r), err)
	}
	other, err := dialSandbox(sb, die)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for range 2 {
		if r, err := other.Do(t.Context(), transport.Step{Shell: "echo another"}, transport.Step{Shell: "echo one"}); err != nil || len(r) != 2 || string(r[0].Stdout)+string(r[1].Stdout) != "another\none\n" {
			t.Errorf("%+v %v", r, err)
		}
	}
}

// testNoSetsid: without setsid a limit ends the process itself only, and su has to do for other users.
func testNoSetsid(t *testing.T, sb *Sandbox) {
	c := sb.Connect()
	r, err := c.Do(t.Context(),
		transport.Step{Argv: []string{"sleep", "300"}, Limit: time.Second, Probe: true},
		transport.Step{Shell: `echo "$HOME" "$@"; id -un; cat`, Argv: []string{"-c", "a b", ""}, User: "postgres", Stdin: []byte("in")},
		transport.Step{Argv: []string{"true"}, User: "no-such-user", Probe: true})
	if err != nil || !errors.Is(r[0].Err, transport.ErrLimit) || r[2].Err == nil {
		t.Fatalf("%+v %v", r, err)
	}
	if want := "/var/lib/postgresql -c a b \npostgres\nin"; string(r[1].Stdout) != want {
		t.Errorf("got %q %v, want %q", r[1].Stdout, r[1].Err, want)
	}
}
