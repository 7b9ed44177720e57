package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// ErrChangedKey: another key of the same type is recorded for a host. ReplaceKnownHosts takes its place.
var ErrChangedKey = errors.New("another key of this type is recorded")

// AppendKnownHosts records keys in a known_hosts file, which is made when it is not there; hash hides the names. Keys that
// are there are left alone. The file is replaced as a whole with mode 0600; nothing is written with an error, nor where it is a device.
func AppendKnownHosts(file string, keys []HostKey, hash bool) error {
	return record(file, keys, hash, false)
}

// ReplaceKnownHosts is AppendKnownHosts that takes the place of other keys of the same host and type.
func ReplaceKnownHosts(file string, keys []HostKey, hash bool) error {
	return record(file, keys, hash, true)
}

func record(file string, keys []HostKey, hash, replace bool) error {
	file = expand(file)
	if target, err := filepath.EvalSymlinks(file); err == nil {
		file = target
	}
	// As root, a rename would take the place of /dev/null, which many name here who want nothing to be recorded.
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("record host keys: %s is not a plain file, so nothing stays there: name another one (UserKnownHostsFile in ssh_config, ssh_known_hosts in the inventory)", file)
	}
	content, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("record host keys: %w", err)
	}
	// Most hosts of a fleet that is recorded for the first time are in no line, and need no search.
	there, hidden := namesIn(content)
	for _, k := range keys {
		if one := k.Name + " " + k.Type; !hidden && !there[k.Name] && !there[one] {
			content, there[one] = withLine(content, k, hash), true
			continue
		}
		if content, err = withKey(content, file, k, hash, replace); err != nil {
			return fmt.Errorf("record host keys: %w", err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("record host keys: %w", err)
	}
	if err := replaceFile(file, content); err != nil {
		return fmt.Errorf("record host keys: %w", err)
	}
	return nil
}

// withKey gives content with a line for k. A line that names several hosts loses only this one.
func withKey(content []byte, file string, k HostKey, hash, replace bool) ([]byte, error) {
	var out bytes.Buffer
	number := 0
	for line := range bytes.Lines(content) {
		number++
		if !names(line, k.Name) {
			out.Write(line)
			continue
		}
		marker, _, key, _, _, err := ssh.ParseKnownHosts(line)
		if err != nil || marker != "" || key.Type() != k.Type {
			out.Write(line)
			continue
		}
		if bytes.Equal(key.Marshal(), k.key.Marshal()) {
			return content, nil
		}
		if !replace {
			return nil, fmt.Errorf("%s, %s %s: %w (%s:%d has %s)", k.Name, k.Type, k.Fingerprint, ErrChangedKey, file, number, ssh.FingerprintSHA256(key))
		}
		out.Write(without(line, k.Name))
	}
	return withLine(out.Bytes(), k, hash), nil
}

// withLine appends a line for k.
func withLine(content []byte, k HostKey, hash bool) []byte {
	if n := len(content); n > 0 && content[n-1] != '\n' {
		content = append(content, '\n')
	}
	name := k.Name
	if hash {
		name = xknownhosts.HashHostname(name)
	}
	return append(content, knownhosts.Line([]string{name}, k.key)+"\n"...)
}

// namesIn gives the names that are written in lines, and whether there are hashed ones too.
func namesIn(content []byte) (names map[string]bool, hidden bool) {
	names = map[string]bool{}
	for line := range bytes.Lines(content) {
		for field := range strings.SplitSeq(firstWord(line), ",") {
			names[field] = true
			hidden = hidden || strings.HasPrefix(field, "|")
		}
	}
	return names, hidden
}

func firstWord(line []byte) string {
	first, _, _ := strings.Cut(strings.ReplaceAll(strings.TrimSpace(string(line)), "\t", " "), " ")
	return first
}

// names says whether a line names exactly this host, hashed or not; patterns are left to who wrote them.
func names(line []byte, name string) bool {
	for field := range strings.SplitSeq(firstWord(line), ",") {
		if field == name || strings.HasPrefix(field, "|1|") && hashedIs(field, name) {
			return true
		}
	}
	return false
}

func without(line []byte, name string) []byte {
	fields := strings.Fields(string(line))
	var rest []string
	for field := range strings.SplitSeq(fields[0], ",") {
		if field != name && !hashedIs(field, name) {
			rest = append(rest, field)
		}
	}
	if len(rest) == 0 {
		return nil
	}
	fields[0] = strings.Join(rest, ",")
	return []byte(strings.Join(fields, " ") + "\n")
}

// replaceFile puts content in file's place, closed to others from the start.
func replaceFile(file string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".known_hosts-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}
