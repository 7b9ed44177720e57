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
// are there are left alone. The file is replaced as a whole with mode 0600; nothing is written with an error.
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
	content, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("record host keys: %w", err)
	}
	for _, k := range keys {
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
		marker, _, key, _, _, err := ssh.ParseKnownHosts(line)
		if err != nil || marker != "" || key.Type() != k.Type || !names(line, k.Name) {
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
	if b := out.Bytes(); len(b) > 0 && b[len(b)-1] != '\n' {
		out.WriteByte('\n')
	}
	name := k.Name
	if hash {
		name = xknownhosts.HashHostname(name)
	}
	out.WriteString(knownhosts.Line([]string{name}, k.key) + "\n")
	return out.Bytes(), nil
}

// names says whether a line names exactly this host, hashed or not; patterns are left to who wrote them.
func names(line []byte, name string) bool {
	for field := range strings.SplitSeq(string(bytes.Fields(line)[0]), ",") {
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
