package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"

	"golang.org/x/sys/unix"
)

var postgresMajor = regexp.MustCompile(`^postgres \(PostgreSQL\) ([0-9]+)\b`)

// versions asks each database server's installation for its version; the others have the machine's.
func versions(hosts []Host, machine string) error {
	for i := range hosts {
		h := &hosts[i]
		switch {
		case h.Role != DBServer:
			continue
		case h.Installation == "":
			h.Version = machine
			continue
		}
		out, err := exec.Command(filepath.Join(h.Installation, "bin/postgres"), "--version").Output()
		if err != nil {
			return fmt.Errorf("ask for the version of %s's PostgreSQL: %w", h.Short, err)
		}
		found := postgresMajor.FindSubmatch(out)
		if found == nil {
			return fmt.Errorf("PostgreSQL of %s in %s: it calls itself %q", h.Short, h.Installation, out)
		}
		h.Version = string(found[1])
	}
	return nil
}

// mountInstallation shows a host its own PostgreSQL where Debian's tools look for that version.
func mountInstallation(root string, h Host) error {
	if h.Installation == "" {
		return nil
	}
	where := filepath.Join(root, "/usr/lib/postgresql", h.Version)
	if err := os.MkdirAll(where, 0o755); err != nil {
		return fmt.Errorf("make the folder of PostgreSQL %s: %w", h.Version, err)
	}
	if err := unix.Mount(h.Installation, where, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s: %w", h.Installation, err)
	}
	if err := unix.Mount("", where, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
		return fmt.Errorf("mount %s read-only: %w", h.Installation, err)
	}
	return nil
}

// newCluster makes the cluster of a host that has its own PostgreSQL.
func newCluster(h Host, r *reaper) error {
	for _, argv := range clusterCommands(h.Version) {
		if err := r.run(argv...); err != nil {
			return err
		}
	}
	return appendHBA(filepath.Join("/etc/postgresql", h.Version, "main/pg_hba.conf"))
}
