package lab

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDiskTrees(t *testing.T) {
	const mountinfo = `22 28 0:21 / /proc rw,relatime - proc proc rw
28 1 254:0 / / rw,relatime - ext4 /dev/vda rw
29 28 254:1 / /usr rw,relatime shared:2 - ext4 /dev/vdb rw
30 28 254:2 / /home rw,relatime - ext4 /dev/vdc rw
31 28 0:30 / /var/lib rw,relatime shared:1 master:2 - btrfs /dev/vdd rw,subvol=/
32 28 0:31 / /var/tmp rw,relatime - ext4 /dev/vde rw
33 28 0:32 / /etc/hostname rw,relatime - ext4 /dev/vdf rw
34 28 0:33 / /work rw,relatime - ext4 /dev/vdg rw
35 28 0:34 / /usr/no\040such\040folder rw,relatime - ext4 /dev/vdh rw
36 28 0:35 / /opt rw,relatime - nfs4 server:/opt rw
short line
`
	if diff := cmp.Diff([]string{"/", "/usr", "/var/lib"}, diskTrees(mountinfo)); diff != "" {
		t.Error(diff)
	}
}

func TestSeen(t *testing.T) {
	for path, want := range map[string]bool{
		"/usr": true, "/var/lib": true, "/opt/x": true, "/": false, "/home/x": false, "/work": false, "/var/log/x": false, "/var/lib/postgresql": false,
		"/etc/postgresql-common": true,
	} {
		if got := seen(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}
