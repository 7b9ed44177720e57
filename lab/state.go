package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// ErrNoLab: the state folder holds no lab.
var ErrNoLab = errors.New("no such lab")

// state is what lab.json says: everything that is needed to find and end a lab.
type state struct {
	Name    string        `json:"name"`
	Folder  string        `json:"folder"`
	Subnet  string        `json:"subnet"`
	Gateway string        `json:"gateway"`
	Veth    string        `json:"veth"`
	RTT     time.Duration `json:"rtt_ns"`
	Resolve bool          `json:"resolve"`
	// Standby: see Options.
	Standby int `json:"standby,omitempty"`
	// LogSessions: see Options.
	LogSessions bool     `json:"log_sessions"`
	Mask        []string `json:"mask"`
	Tied        bool     `json:"tied"`
	Owner       owner    `json:"owner"`
	// Version of the machine's PostgreSQL, such as "15".
	Version string `json:"postgresql"`
	Hosts   []Host `json:"hosts"`
	// Keeper is recorded before it may do anything.
	Keeper process `json:"keeper"`
}

// owner has the controller's files: who called sudo, else root.
type owner struct{ UID, GID int }

const stateFile = "lab.json"

func (s state) path(parts ...string) string {
	return filepath.Join(append([]string{s.Folder}, parts...)...)
}

func (s state) save() error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", stateFile, err)
	}
	return writeFile(s.path(stateFile), append(text, '\n'), 0o644)
}

// writeFile replaces a file by one rename: a reader sees the old text or the new.
func writeFile(path string, text []byte, mode fs.FileMode) error {
	draft := path + ".new"
	if err := os.WriteFile(draft, text, mode); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	// Whatever the umask.
	if err := os.Chmod(draft, mode); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	if err := os.Rename(draft, path); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}

func load(folder string) (state, error) {
	text, err := os.ReadFile(filepath.Join(folder, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, fmt.Errorf("read %s: %w", folder, ErrNoLab)
	}
	if err != nil {
		return state{}, fmt.Errorf("read state: %w", err)
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return state{}, fmt.Errorf("read %s: %w", filepath.Join(folder, stateFile), err)
	}
	if s.Folder != folder {
		return state{}, fmt.Errorf("read %s: it belongs to folder %s; call the lab by that", filepath.Join(folder, stateFile), s.Folder)
	}
	return s, nil
}

// Open finds a lab by its state folder (FolderOf). ErrNoLab: there is none.
func Open(folder string) (*Lab, error) {
	s, err := load(folder)
	if err != nil {
		return nil, err
	}
	return &Lab{state: s}, nil
}
