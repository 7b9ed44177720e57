// Package sshconfig answers what the user's own ssh_config says of a host, as ssh(1) itself would: Host, Match (host, originalhost, user,
// localuser, all, canonical, final), Include, quotes, comments, the first value wins. It runs no command and opens no connection; what it
// cannot follow it reports, with file and line.
//
// Tests compare it with the answers of `ssh -G`.
package sshconfig

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Config is the files of one user, read and ready to be asked. It is not changed by questions.
type Config struct {
	home, localUser string
	files           []*file
}

// Mistake is something in a file that ssh(1) refuses as well.
type Mistake struct {
	File string
	Line int
	Text string
}

// Mistakes is every mistake of the files; it is an error.
type Mistakes []Mistake

// Error gives one line a mistake.
func (m Mistakes) Error() string {
	lines := make([]string, len(m))
	for i, x := range m {
		lines[i] = fmt.Sprintf("%s:%d: %s", x.File, x.Line, x.Text)
	}
	return strings.Join(lines, "\n")
}

// Load reads path, and nothing else, as `ssh -F path` does. home is what ~ means; localUser is who runs this.
func Load(path, home, localUser string) (*Config, error) {
	c := &Config{home: home, localUser: localUser}
	return c, c.read(path, true, false)
}

// LoadDefault reads ~/.ssh/config and then /etc/ssh/ssh_config, where they exist.
func LoadDefault(home, localUser string) (*Config, error) {
	c := &Config{home: home, localUser: localUser}
	if home != "" {
		path := filepath.Join(home, ".ssh", "config")
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			if err := c.read(path, true, true); err != nil {
				return c, err
			}
		}
	}
	const system = "/etc/ssh/ssh_config"
	if _, err := os.Stat(system); errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	return c, c.read(system, false, false)
}

// None is a configuration that says nothing.
func None(home, localUser string) *Config { return &Config{home: home, localUser: localUser} }

func (c *Config) read(path string, user, checkMode bool) error {
	p := &parser{home: c.home, user: user}
	f := p.file(path, checkMode, 0)
	if f != nil {
		c.files = append(c.files, f)
	}
	if len(p.mistakes) > 0 {
		return p.mistakes
	}
	return nil
}
