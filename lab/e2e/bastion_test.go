package e2e_test

import (
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/lab"
)

// TestBastion runs the shipped playbook through a bastion, which is also one of the hosts, with sshd's limits as they are out of the box and a fleet that is larger than
// MaxStartups, and with the smallest limits everywhere. The bastion sees one connection a run besides the one to itself, and the hosts nobody but the bastion.
func TestBastion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		db, client int
		last       string
		limits     string
	}{
		{"defaults", 2, 18, "app18", ""},
		{"one at a time", 1, 2, "app2", "MaxStartups 1\nMaxSessions 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(t, lab.Options{DB: c.db, Client: c.client}).with(t, "vars:\n", "vars:\n  ssh_jump: [ca1.example.net]\n",
				"    roles: [root_ca]\n", "    roles: [root_ca]\n    vars: {ssh_jump: none}\n")
			if c.limits != "" {
				for _, host := range []string{"ca1", "ca2", "ca3", "db1", "app1", "app2"} {
					f.sh(t, host, again, c.limits)
				}
			}
			f.finishes(t)
			const logins = `grep 'Accepted publickey for ops' /var/log/auth.log | sed 's/.* from \([^ ]*\) .*/\1/' | sort | uniq -c | awk '{print $1, $2}'`
			bastion := f.sh(t, "ca1", "hostname -I | cut -d' ' -f1")
			if at, _, _ := strings.Cut(f.sh(t, "ca1", logins), " "); at != "4" {
				t.Errorf("two runs log in %s times to the bastion, not twice each", at)
			}
			for _, host := range []string{"db1", c.last} {
				if got, want := f.sh(t, host, logins), "2 "+bastion; got != want {
					t.Errorf("logins to %s: %s, want %s", host, got, want)
				}
			}
		})
	}
}
