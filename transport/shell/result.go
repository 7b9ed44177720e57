package shell

import (
	"bytes"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

// Exit codes of programs/read.sh.
const (
	readMissing = 44
	readDenied  = 45
)

// finish turns what a step printed and its code into its Result; limit is the time that it had.
func finish(s transport.Step, code int, stdout, stderr []byte, took, limit time.Duration) transport.Result {
	if code == 125 && took >= max(limit-time.Second, limit/2) {
		code = 124 // timeout of the coreutils in Rust, until spring 2026: what its TERM ended
	}
	r := transport.Result{Key: s.Key, Code: code, Stdout: stdout, Stderr: stderr, Took: took}
	switch {
	case code == 124 || code == 137 && took >= limit-time.Second:
		r.Err = fmt.Errorf("ended after %v: %w", limit, transport.ErrLimit)
	case s.Read != "":
		finishRead(s, &r)
	case s.Write != nil && code != 0:
		r.Err = writeError(s.Write.Path, &transport.ExitError{Code: code, Stderr: stderr})
	case code != 0:
		r.Err = &transport.ExitError{Code: code, Stderr: stderr}
	}
	return r
}

func writeError(path string, e *transport.ExitError) error {
	if bytes.Contains(e.Stderr, []byte("ermission denied")) || bytes.Contains(e.Stderr, []byte("not permitted")) {
		return fmt.Errorf("write %s: %w: %w", path, fs.ErrPermission, e)
	}
	if bytes.Contains(e.Stderr, []byte("o space left on device")) {
		return fmt.Errorf("write %s: no space left on device: %w", path, e)
	}
	return fmt.Errorf("write %s: %w", path, e)
}

func finishRead(s transport.Step, r *transport.Result) {
	e := &transport.ExitError{Code: r.Code, Stderr: r.Stderr}
	out := r.Stdout
	r.Stdout = nil
	switch r.Code {
	case 0:
		line, data, ok := bytes.Cut(out, []byte("\n"))
		size, info, err := parseStat(string(line))
		switch {
		case !ok || err != nil:
			r.Err = fmt.Errorf("read %s: unexpected answer %q", s.Read, line)
		case size != 0 && size != len(data):
			r.Err = fmt.Errorf("read %s: the file changed while it was read", s.Read)
		default:
			r.Stdout, r.File = data, info
		}
	case readMissing:
		r.Err = fmt.Errorf("read %s: %w", s.Read, transport.ErrNotExist)
	case readDenied:
		r.Err = fmt.Errorf("read %s: %w", s.Read, fs.ErrPermission)
	default:
		r.Err = fmt.Errorf("read %s: %w", s.Read, e)
	}
}

// parseStat reads the first line that programs/read.sh prints.
func parseStat(line string) (size int, info *transport.FileInfo, err error) {
	f := strings.Fields(line)
	if len(f) < 8 {
		return 0, nil, fmt.Errorf("only %d fields", len(f))
	}
	if size, err = strconv.Atoi(f[0]); err != nil {
		return 0, nil, err
	}
	mode, err := strconv.ParseUint(f[1], 8, 12)
	if err != nil {
		return 0, nil, err
	}
	when, err := strconv.ParseInt(f[4], 10, 64)
	if err != nil {
		return 0, nil, err
	}
	info = &transport.FileInfo{Owner: f[5], Group: f[6], Mode: fs.FileMode(mode).Perm(), ModTime: time.Unix(when, 0)}
	if info.Owner == "UNKNOWN" {
		info.Owner = f[2]
	}
	if info.Group == "UNKNOWN" {
		info.Group = f[3]
	}
	return size, info, nil
}
