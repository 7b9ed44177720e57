package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// makeCluster fills the cluster layer, mounted at root, with a fresh PostgreSQL cluster "main" made by Debian's own tools. It listens on
// all addresses, and password users from all labs may log in: the state before there is mutual TLS.
func makeCluster(root, version string) error {
	if err := mountSystem(root); err != nil {
		return err
	}
	// As on a server: snakeoil files must be there, else pg_createcluster leaves ssl off.
	for _, argv := range clusterCommands(version) {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env = cleanEnvironment()
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("run %s: %w: %s", argv[0], err, out)
		}
	}
	return appendHBA(filepath.Join(root, "/etc/postgresql", version, "main/pg_hba.conf"))
}

func clusterCommands(version string) [][]string {
	return [][]string{
		{"/usr/bin/pg_createcluster", "--port", "5432", "--start-conf", "auto", "--locale", "C.UTF-8", "--encoding", "UTF8", version, "main", "--", "--no-sync"},
		{"/usr/bin/pg_conftool", version, "main", "set", "listen_addresses", "*"},
	}
}

func appendHBA(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("open pg_hba.conf: %w", err)
	}
	defer f.Close()
	if _, err := f.WriteString("# Applications on the other hosts.\nhost    all             all             10.88.0.0/16            scram-sha-256\n"); err != nil {
		return fmt.Errorf("extend pg_hba.conf: %w", err)
	}
	return f.Close()
}

// mountSystem gives a root the file systems that a running Linux has; everything is a host's own.
func mountSystem(root string) error {
	mounts := []struct {
		what, where, kind string
		flags             uintptr
		options           string
	}{
		{"proc", "/proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
		{"sysfs", "/sys", "sysfs", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_RDONLY, ""},
		{"tmpfs", "/dev", "tmpfs", unix.MS_NOSUID, "mode=0755,size=64k"},
		{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"},
		{"tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
		{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
		{"tmpfs", "/tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
	}
	for _, m := range mounts {
		where := filepath.Join(root, m.where)
		if err := os.MkdirAll(where, 0o755); err != nil {
			return fmt.Errorf("make %s: %w", m.where, err)
		}
		if err := unix.Mount(m.what, where, m.kind, m.flags, m.options); err != nil {
			return fmt.Errorf("mount %s: %w", m.where, err)
		}
	}
	return makeDevices(filepath.Join(root, "/dev"))
}

func makeDevices(dev string) error {
	for name, minor := range map[string]uint32{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9} {
		if err := makeDevice(filepath.Join(dev, name), 1, minor); err != nil {
			return err
		}
	}
	if err := makeDevice(filepath.Join(dev, "tty"), 5, 0); err != nil {
		return err
	}
	for name, target := range map[string]string{"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(target, filepath.Join(dev, name)); err != nil {
			return fmt.Errorf("make device: %w", err)
		}
	}
	return nil
}

func makeDevice(path string, major, minor uint32) error {
	if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(major, minor))); err != nil {
		return fmt.Errorf("make device %s: %w", path, err)
	}
	return os.Chmod(path, 0o666)
}
