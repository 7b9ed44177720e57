package lab

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// The programs that a lab needs, and the Debian packages that have them.
var programs = []struct{ path, debian string }{
	{"/usr/sbin/sshd", "openssh-server"},
	{"/usr/lib/openssh/sftp-server", "openssh-sftp-server"},
	{"ssh-keygen", "openssh-client"},
	{"ip", "iproute2"},
	{"sudo", "sudo"},
	{"openssl", "openssl"},
	{"setpriv", "util-linux"},
	{"nsenter", "util-linux"},
	{"pg_createcluster", "postgresql-common"},
	{"psql", "postgresql-client"},
}

const hostFlags = syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC

// Available tells why no lab can run here; nil: it can.
func Available() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("a lab needs root, to make namespaces and mounts: run it with sudo (this is user id %d)", os.Geteuid())
	}
	var missing []string
	for _, p := range programs {
		if _, err := exec.LookPath(p.path); err != nil && !slices.Contains(missing, p.debian) {
			missing = append(missing, p.debian)
		}
	}
	if _, err := postgresVersion(); err != nil {
		missing = append(missing, "postgresql")
	}
	if len(missing) > 0 {
		return fmt.Errorf("a lab needs programs that this machine lacks: apt-get install %s", strings.Join(missing, " "))
	}
	if text, _ := os.ReadFile("/proc/filesystems"); !bytes.Contains(text, []byte("\toverlay\n")) {
		if out, err := exec.Command("modprobe", "overlay").CombinedOutput(); err != nil {
			return fmt.Errorf("a lab needs the kernel's overlay file system: modprobe overlay: %w: %s", err, bytes.TrimSpace(out))
		}
	}
	return namespacesAvailable()
}

// namespacesAvailable tries: root in a container has the name without the right.
func namespacesAvailable() error {
	cmd, err := stageCommand(stageProbe, "pgfleet-lab-probe", hostFlags)
	if err != nil {
		return err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("a lab needs to make namespaces and mounts, which this root may not (a container without --privileged?): %w %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// probe is the stage that namespacesAvailable starts.
func probe() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := syscall.Mount("tmpfs", "/tmp", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	return nil
}

// postgresVersion is the PostgreSQL that database hosts run: 15 where there is one, else the newest.
func postgresVersion() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("find PostgreSQL: nothing in /usr/lib/postgresql")
	}
	best := ""
	for _, path := range found {
		version := strings.Split(path, "/")[4]
		if version == "15" {
			return version, nil
		}
		if len(version) > len(best) || len(version) == len(best) && version > best {
			best = version
		}
	}
	return best, nil
}
