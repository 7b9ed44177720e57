package ssh

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pgfleet/pgfleet/transport/transporttest"
)

// Many have "UserKnownHostsFile /dev/null" in ssh_config. Root would put a file in its place, and the machine would have no /dev/null any more.
func TestKnownHostsIsADevice(t *testing.T) {
	device := filepath.Join(t.TempDir(), "null")
	if err := syscall.Mknod(device, syscall.S_IFCHR|0o666, 1<<8|3); err != nil {
		transporttest.Unable(t, "make a device: "+err.Error())
	}
	for name, write := range map[string]func(string, []HostKey, bool) error{"append": AppendKnownHosts, "replace": ReplaceKnownHosts} {
		if err := write(device, nil, false); err == nil || !strings.Contains(err.Error(), "name another one") {
			t.Errorf("%s: %v", name, err)
		}
		if info, err := os.Lstat(device); err != nil || info.Mode()&os.ModeCharDevice == 0 {
			t.Fatalf("%s: the device is now %v, %v", name, info, err)
		}
	}
}
