package lab

import (
	"path/filepath"
	"slices"
	"strings"
)

// What hosts see of the machine's top-level folders: Debian's, and of those with emptied true, only the folder. Everything else
// at the top is hidden.
var topFolders = map[string]bool{
	"bin": false, "etc": false, "lib": false, "lib32": false, "lib64": false, "libx32": false, "opt": false, "sbin": false,
	"usr": false, "var": false,
	"boot": true, "dev": true, "home": true, "media": true, "mnt": true, "proc": true, "root": true, "run": true, "srv": true,
	"sys": true, "tmp": true,
}

// emptied are further folders that a host starts with empty: what the machine has there is its own business.
var emptied = []string{
	"/etc/postgresql", "/etc/ssh/sshd_config.d", "/etc/sudoers.d", "/var/backups", "/var/lib/postgresql", "/var/log", "/var/mail",
	"/var/spool/cron", "/var/tmp",
}

// diskKinds are the file systems that hold a system's files.
var diskKinds = []string{"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "overlay"}

// diskTrees finds, in the text of /proc/self/mountinfo (proc(5)), the disks that hosts need layers over: the root and what is
// mounted below the folders that hosts see.
func diskTrees(mountinfo string) []string {
	trees := []string{"/"}
	for line := range strings.Lines(mountinfo) {
		before, after, found := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if !found || len(fields) < 6 || len(kind) < 1 || !slices.Contains(diskKinds, kind[0]) {
			continue
		}
		if path := unescape(fields[4]); seen(path) && !slices.Contains(trees, path) && isFolder(path) {
			trees = append(trees, path)
		}
	}
	slices.Sort(trees)
	return trees
}

func seen(path string) bool {
	top, below, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	isEmptied, known := topFolders[top]
	if !known || isEmptied || below == "" && top == "" {
		return false
	}
	return !slices.ContainsFunc(emptied, func(e string) bool { return within(path, e) })
}

// unescape undoes mountinfo's octal escapes: \040 is a space.
func unescape(text string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(text)
}

// mask hides the machine's private parts in the base layer.
func (l layers) mask(s state) error {
	tops, err := filepath.Glob("/*")
	if err != nil {
		return err
	}
	hidden, err := filepath.Glob("/.*")
	if err != nil {
		return err
	}
	for _, path := range append(tops, hidden...) {
		isEmptied, known := topFolders[filepath.Base(path)]
		switch {
		case !known:
			err = l.hide(baseLayer, path)
		case isEmptied && isFolder(path):
			err = l.empty(baseLayer, path)
		}
		if err != nil {
			return err
		}
	}
	for _, path := range emptied {
		if isFolder(path) {
			if err := l.empty(baseLayer, path); err != nil {
				return err
			}
		}
	}
	return l.maskChosen(slices.Sorted(slices.Values(append([]string{Root, s.Folder}, s.Mask...))))
}

// maskChosen hides the state folder, the checkout and what the user named, where they lie in a folder that hosts see.
func (l layers) maskChosen(paths []string) error {
	var done []string
	for _, path := range paths {
		real, err := filepath.EvalSymlinks(path)
		if err != nil || !seen(real) || !strings.Contains(real[1:], "/") || slices.ContainsFunc(done, func(d string) bool { return within(real, d) }) {
			continue
		}
		if err := l.hide(baseLayer, real); err != nil {
			return err
		}
		done = append(done, real)
	}
	return nil
}
