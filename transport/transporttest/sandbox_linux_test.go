package transporttest

import (
	"os"
	"strings"
	"testing"

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
