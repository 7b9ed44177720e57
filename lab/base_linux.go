package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// entry is one file or folder (Mode with os.ModeDir) of a host.
type entry struct {
	path     string
	mode     os.FileMode
	uid, gid int
	text     string
}

func (e entry) write(root string) error {
	path := filepath.Join(root, e.path)
	if e.mode.IsDir() {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return fmt.Errorf("make %s: %w", e.path, err)
		}
	} else {
		// The machine's may be a link elsewhere (resolv.conf).
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("replace %s: %w", e.path, err)
		}
		if err := os.WriteFile(path, []byte(e.text), 0o600); err != nil {
			return fmt.Errorf("write %s: %w", e.path, err)
		}
	}
	if err := os.Chown(path, e.uid, e.gid); err != nil {
		return fmt.Errorf("own %s: %w", e.path, err)
	}
	if err := os.Chmod(path, e.mode&(os.ModePerm|os.ModeSetgid|os.ModeSticky)); err != nil {
		return fmt.Errorf("chmod %s: %w", e.path, err)
	}
	return nil
}

func writeAll(root string, entries []entry) error {
	for _, e := range entries {
		if err := e.write(root); err != nil {
			return err
		}
	}
	return nil
}

const opsID = 1000

// writeBase fills the base layer, mounted at root, with what all hosts have in common: a freshly installed Debian server.
func writeBase(root, publicKey string) error {
	a, err := readAccounts(root)
	if err != nil {
		return err
	}
	if err := a.clean(); err != nil {
		return err
	}
	postgres, err := a.id("postgres")
	if err != nil {
		return err
	}
	adm, err := a.group("adm")
	if err != nil {
		return err
	}
	entries := append(a.entries(), []entry{
		{"/etc/sudoers", 0o440, 0, 0, sudoers},
		{"/etc/ssh/sshd_config", 0o644, 0, 0, sshdConfig},
		{"/etc/nsswitch.conf", 0o644, 0, 0, nsswitch},
		{"/etc/resolv.conf", 0o644, 0, 0, "# The lab has no name server.\n"},
		{"/etc/motd", 0o644, 0, 0, ""},
		{"/root", os.ModeDir | 0o700, 0, 0, ""},
		{"/home/" + AdminUser, os.ModeDir | 0o700, opsID, opsID, ""},
		{"/home/" + AdminUser + "/.ssh", os.ModeDir | 0o700, opsID, opsID, ""},
		{"/home/" + AdminUser + "/.ssh/authorized_keys", 0o600, opsID, opsID, publicKey},
		{"/var/log/postgresql", os.ModeDir | os.ModeSticky | 0o775, 0, postgres.gid, ""},
		{"/var/log/auth.log", 0o640, 0, adm, ""},
		{"/var/log/wtmp", 0o664, 0, 0, ""},
		{"/var/log/lastlog", 0o664, 0, 0, ""},
		{"/var/lib/postgresql", os.ModeDir | 0o755, postgres.uid, postgres.gid, ""},
		{"/etc/postgresql", os.ModeDir | 0o755, postgres.uid, postgres.gid, ""},
	}...)
	if err := writeAll(root, entries); err != nil {
		return err
	}
	return removeHostKeys(root)
}

// removeHostKeys: the machine's keys are not the hosts'.
func removeHostKeys(root string) error {
	keys, err := filepath.Glob(filepath.Join(root, "/etc/ssh/ssh_host_*"))
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := os.Remove(key); err != nil {
			return fmt.Errorf("remove the machine's host key: %w", err)
		}
	}
	return nil
}

// The texts that Debian 12 installs, without their comments.
const (
	sudoers = `Defaults	env_reset
Defaults	mail_badpass
Defaults	secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
Defaults	use_pty
root	ALL=(ALL:ALL) ALL
%sudo	ALL=(ALL:ALL) ALL
@includedir /etc/sudoers.d
`
	sshdConfig = `Include /etc/ssh/sshd_config.d/*.conf
HostKey /etc/ssh/ssh_host_ecdsa_key
HostKey /etc/ssh/ssh_host_ed25519_key
KbdInteractiveAuthentication no
UsePAM yes
X11Forwarding yes
PrintMotd no
AcceptEnv LANG LC_*
Subsystem	sftp	/usr/lib/openssh/sftp-server
`
	nsswitch = `passwd:         files
group:          files
shadow:         files
gshadow:        files
hosts:          files dns
networks:       files
protocols:      db files
services:       db files
ethers:         db files
rpc:            db files
netgroup:       nis
`
)

// sudoRule is what the host's access puts into /etc/sudoers.d.
func sudoRule(a Access) string {
	switch a {
	case Sudo:
		return AdminUser + " ALL=(ALL:ALL) NOPASSWD: ALL\n"
	case SudoPassword:
		return AdminUser + " ALL=(ALL:ALL) ALL\n"
	}
	return ""
}

// hostsFile is a host's /etc/hosts: itself, or all.
func hostsFile(s state, self Host) string {
	var b strings.Builder
	b.WriteString("127.0.0.1\tlocalhost\n")
	for _, h := range s.Hosts {
		if s.Resolve || h.Name == self.Name {
			fmt.Fprintf(&b, "%s\t%s %s\n", h.Addr, h.Name, h.Short)
		}
	}
	b.WriteString("\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n")
	return b.String()
}
