package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// layers are the file systems of a lab, in one tmpfs that only the keeper's mount namespace has. A layer has one folder for each
// tree: the machine's root file system first, then every other disk that is mounted below a folder that hosts see.
type layers struct {
	fs    string
	trees []string
}

// The layers that hosts share, above the machine's own files: base masks and replaces, cluster has a fresh PostgreSQL.
const (
	baseLayer    = "base"
	clusterLayer = "cluster"
)

// newLayers mounts the tmpfs. Memory: it may take 80% of the machine's, and takes what is written.
func newLayers(folder string) (layers, error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return layers{}, fmt.Errorf("keep mounts to this namespace: %w", err)
	}
	if err := unix.Mount("pgfleet-lab", folder, "tmpfs", 0, "size=80%,nr_inodes=0,mode=0755"); err != nil {
		return layers{}, fmt.Errorf("mount layers: %w", err)
	}
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return layers{}, fmt.Errorf("read mounts: %w", err)
	}
	l := layers{fs: folder, trees: diskTrees(string(info))}
	if err := errors.Join(os.Mkdir(filepath.Join(folder, "root"), 0o755), os.Mkdir(l.processes(), 0o700)); err != nil {
		return layers{}, fmt.Errorf("make layers: %w", err)
	}
	if err := unix.Mount("proc", l.processes(), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return layers{}, fmt.Errorf("mount processes: %w", err)
	}
	return l, nil
}

// processes is a proc(5) with the keeper's numbering; /proc has the machine's.
func (l layers) processes() string { return filepath.Join(l.fs, "proc") }

func (l layers) dir(layer string, tree int) string {
	return filepath.Join(l.fs, layer, fmt.Sprint(tree))
}

func (l layers) work(layer string, tree int) string {
	return filepath.Join(l.fs, layer+".work", fmt.Sprint(tree))
}

// create makes a layer's folders; their roots look like the machine's.
func (l layers) create(layer string) error {
	for i, tree := range l.trees {
		if err := os.MkdirAll(l.work(layer, i), 0o700); err != nil {
			return fmt.Errorf("create layer: %w", err)
		}
		if err := os.MkdirAll(filepath.Dir(l.dir(layer, i)), 0o755); err != nil {
			return fmt.Errorf("create layer: %w", err)
		}
		if err := copyFolder(tree, l.dir(layer, i)); err != nil {
			return fmt.Errorf("create layer: %w", err)
		}
	}
	return nil
}

// mount lays upper over the lower layers (nearest first) over the machine, at target.
func (l layers) mount(target, upper string, lowers ...string) error {
	for i, tree := range l.trees {
		var below []string
		for _, lower := range lowers {
			below = append(below, l.dir(lower, i))
		}
		below = append(below, tree)
		options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", strings.Join(below, ":"), l.dir(upper, i), l.work(upper, i))
		if err := unix.Mount("overlay", filepath.Join(target, tree), "overlay", 0, options); err != nil {
			return fmt.Errorf("mount %s over %s: %w", upper, tree, err)
		}
	}
	return nil
}

// unmount undoes mount, with everything mounted below target.
func (l layers) unmount(target string) error {
	if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", target, err)
	}
	return nil
}

// hide makes a path of the machine absent in a layer (a whiteout: overlayfs.rst); empty makes a folder empty (opaque).
func (l layers) hide(layer, path string) error {
	place, err := l.place(layer, path)
	if err != nil {
		return err
	}
	if err := unix.Mknod(place, unix.S_IFCHR, 0); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("hide %s: %w", path, err)
	}
	return nil
}

func (l layers) empty(layer, path string) error {
	place, err := l.place(layer, path)
	if err != nil {
		return err
	}
	if err := copyFolder(path, place); err != nil {
		return fmt.Errorf("empty %s: %w", path, err)
	}
	if err := unix.Setxattr(place, "trusted.overlay.opaque", []byte("y"), 0); err != nil {
		return fmt.Errorf("empty %s: %w", path, err)
	}
	return nil
}

// place is where a path of the machine lies in a layer; the folders above it are made, like the machine's.
func (l layers) place(layer, path string) (string, error) {
	tree := 0
	for i, t := range l.trees {
		if within(path, t) && len(t) >= len(l.trees[tree]) {
			tree = i
		}
	}
	rel, err := filepath.Rel(l.trees[tree], path)
	if err != nil {
		return "", fmt.Errorf("place %s: %w", path, err)
	}
	from, to := l.trees[tree], l.dir(layer, tree)
	parts := strings.Split(rel, "/")
	for _, part := range parts[:len(parts)-1] {
		from, to = filepath.Join(from, part), filepath.Join(to, part)
		if err := copyFolder(from, to); err != nil {
			return "", fmt.Errorf("place %s: %w", path, err)
		}
	}
	return filepath.Join(to, parts[len(parts)-1]), nil
}

// copyFolder makes a folder with the owner and mode of another one; it may exist.
func copyFolder(from, to string) error {
	var st unix.Stat_t
	if err := unix.Stat(from, &st); err != nil {
		return fmt.Errorf("look at %s: %w", from, err)
	}
	if err := os.Mkdir(to, 0o700); errors.Is(err, fs.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	if err := os.Chown(to, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	return unix.Chmod(to, st.Mode&0o7777)
}

// within tells whether path is folder or lies below it; both are clean.
func within(path, folder string) bool {
	return path == folder || folder == "/" || strings.HasPrefix(path, folder+"/")
}

func isFolder(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}
