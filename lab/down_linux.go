package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Down ends the lab: every process, mount, interface and file of it. It also cleans up after an Up that was killed. ErrNoLab: nothing was there.
func (l *Lab) Down(ctx context.Context) error {
	err := Down(ctx, l.state.Folder)
	if err == nil && l.lifeline != nil {
		err = l.lifeline.Close()
	}
	return err
}

// Down is Lab.Down for the lab in a state folder (FolderOf), whatever is left of it.
func Down(ctx context.Context, folder string) error {
	if os.Geteuid() != 0 {
		return Available()
	}
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("find %s: %w", folder, ErrNoLab)
	}
	lock, err := lockFolder(folder)
	if err != nil {
		return err
	}
	defer lock.Close()
	s, err := load(folder)
	if errors.Is(err, ErrNoLab) {
		return removeUnrecorded(folder)
	}
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return (&Lab{state: s}).remove()
}

// remove ends the recorded keeper, with which the kernel ends the lab's processes, mounts and interfaces, then the files.
func (l *Lab) remove() error {
	s := l.state
	if err := s.Keeper.end(time.Minute); err != nil {
		return err
	}
	if l.waited != nil {
		<-l.waited
	}
	if err := s.disconnect(); err != nil {
		return err
	}
	if err := noMountBelow(s.Folder); err != nil {
		return err
	}
	// lab.json goes last: what is cut off here is found again.
	entries, err := os.ReadDir(s.Folder)
	if err != nil {
		return fmt.Errorf("remove state folder: %w", err)
	}
	for _, e := range entries {
		if e.Name() == stateFile {
			continue
		}
		if err := os.RemoveAll(s.path(e.Name())); err != nil {
			return fmt.Errorf("remove state folder: %w", err)
		}
	}
	if err := os.RemoveAll(s.Folder); err != nil {
		return fmt.Errorf("remove state folder: %w", err)
	}
	removeRoot(s.Folder)
	return nil
}

// removeUnrecorded removes a folder in which Up had not yet written its record: nothing else was made.
func removeUnrecorded(folder string) error {
	draft := filepath.Join(folder, stateFile+".new")
	if err := os.Remove(draft); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", draft, err)
	}
	if err := os.Remove(folder); err != nil {
		return fmt.Errorf("remove %s: it holds no lab, but other files: %w", folder, err)
	}
	removeRoot(folder)
	return nil
}

// removeRoot removes the folder of all labs' folders with the last of them.
func removeRoot(folder string) {
	if filepath.Dir(folder) == Root {
		_ = os.Remove(Root) // another lab's folder keeps it
	}
}

// noMountBelow: files are never removed through a mount.
func noMountBelow(folder string) error {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("read mounts: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 4 && within(unescape(fields[4]), folder) {
			return fmt.Errorf("remove %s: something is mounted on %s, which no lab did: unmount it first", folder, fields[4])
		}
	}
	return nil
}
