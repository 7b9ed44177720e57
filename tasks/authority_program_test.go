package tasks

import (
	"context"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/transport/transporttest"
)

// What stands in the way of the installation is said before anything is changed, and what the user may do besides is named.
func TestAuthorityProgramRefuses(t *testing.T) {
	t.Parallel()
	sb := transporttest.NewSandbox(t)
	sb.Shell(`useradd -m signer && echo 'signer ALL=(ALL) NOPASSWD: /usr/bin/less, /bin/vi' >>/etc/sudoers`)
	for _, c := range []struct {
		name, prepare, after string
		task                 authorityProgramTask
		want                 string
	}{
		{"no such user", "", "", authorityProgramTask{Name: "clients", User: "nobody-here"}, "there is no user nobody-here on this host: make one"},
		{"another host's", "", "", authorityProgramTask{Name: "elsewhere", User: "signer"}, "is not on host ca1"},
		{"an authority below one that is no root", "", "", authorityProgramTask{Name: "servers", User: "signer"}, "only a root signs authorities"},
		{"open to everybody", "chmod 0777 /usr/local/lib", "chmod 0755 /usr/local/lib", authorityProgramTask{Name: "clients", User: "signer"}, "/usr/local/lib can be changed by everybody"},
		{"somebody else's folder", "mkdir -p /etc/pgfleet/policy && chown signer /etc/pgfleet/policy", "rmdir /etc/pgfleet/policy", authorityProgramTask{Name: "clients", User: "signer"}, "/etc/pgfleet/policy does not belong to root"},
		{"a link", "ln -s /tmp /usr/local/lib/pgfleet", "rm /usr/local/lib/pgfleet", authorityProgramTask{Name: "clients", User: "signer"}, "/usr/local/lib/pgfleet is a symbolic link"},
		{"no sudo", "mv /usr/bin/sudo /usr/bin/odus", "mv /usr/bin/odus /usr/bin/sudo", authorityProgramTask{Name: "clients", User: "signer"}, "sudo is missing on this host, and signer is not root"},
		{"the key in another line", "mkdir ~signer/.ssh && echo 'ssh-ed25519 AAAA mine' >~signer/.ssh/authorized_keys", "rm -r ~signer/.ssh", authorityProgramTask{Name: "clients", User: "signer", Key: "ssh-ed25519 AAAA me"},
			"has this key in another line too"},
		{"nothing", "", "", authorityProgramTask{Name: "clients", User: "signer"}, ""},
	} {
		declared := lockedAuthorities()
		elsewhere := declared["top"]
		elsewhere.Name, elsewhere.Host = "elsewhere", "ca2"
		declared["elsewhere"] = elsewhere
		below := declared["servers"]
		below.Name, below.Issuer, below.Subject = "below", "servers", "CN=below"
		declared["below"] = below
		h := &Host{Name: "ca1", View: &View{}, Fleet: &Fleet{Authorities: declared}}
		sb.Shell(c.prepare + "\n:")
		results, err := sb.Do(t.Context(), append(c.task.Needs(h), AuthorityProbe(declared["clients"]))...)
		if err != nil {
			t.Fatal(err)
		}
		h.View.Put(results...)
		change, err := c.task.Check(context.Background(), h)
		sb.Shell(c.after + "\n:")
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, wanted %q", c.name, err, c.want)
			}
			continue
		}
		if err != nil || change == nil {
			t.Fatalf("%s: %v, %v", c.name, change, err)
		}
		if notes := strings.Join(change.Notes, "\n"); !strings.Contains(notes, "may run more than this as root on ca1 ((ALL) NOPASSWD: /usr/bin/less, /bin/vi)") {
			t.Errorf("the other rules are not named: %q", notes)
		}
	}
	for _, p := range (&authorityProgramTask{User: "a b", Key: "ssh-ed25519 AAAA\nssh-ed25519 BBBB"}).Validate() {
		t.Log(p)
	}
	if n := len((&authorityProgramTask{User: "a b", Key: "ssh-ed25519 AAAA\nssh-ed25519 BBBB"}).Validate()); n != 2 {
		t.Errorf("%d mistakes, wanted 2", n)
	}
}
