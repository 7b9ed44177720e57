package sshconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// maxDepth is how deep files may include others (readconf.h, READCONF_MAX_DEPTH), maxBytes how large one may be.
const (
	maxDepth = 16
	maxBytes = 4 << 20
)

// file is one file, split into lines that mean something.
type file struct {
	path  string
	lines []line
}

// line is one directive. rest is all after the keyword, args the same as words. includes are the files of an Include.
type line struct {
	number   int
	keyword  string // in small letters
	written  string
	rest     string
	args     []string
	includes []*file
}

type parser struct {
	home     string
	user     bool // a user's file: relative includes are in ~/.ssh
	mistakes Mistakes
}

func (p *parser) add(path string, number int, format string, args ...any) {
	p.mistakes = append(p.mistakes, Mistake{path, number, fmt.Sprintf(format, args...)})
}

// file reads one file and those that it includes. checkMode refuses files that others may write, as ssh(1) does.
func (p *parser) file(path string, checkMode bool, depth int) *file {
	if depth > maxDepth {
		p.add(path, 0, "is included more than %d levels deep; does it include itself?", maxDepth)
		return nil
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		p.add(path, 0, "cannot be read: %v", rootCause(err))
		return nil
	case info.IsDir() || info.Size() > maxBytes:
		p.add(path, 0, "is no file of less than %d MiB", maxBytes>>20)
		return nil
	case checkMode && runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0:
		p.add(path, 0, "may be written by others (mode %04o); ssh refuses it too: chmod go-w %s", info.Mode().Perm(), path)
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		p.add(path, 0, "cannot be read: %v", rootCause(err))
		return nil
	}
	if bytes.IndexByte(data, 0) >= 0 {
		p.add(path, 0, "is no text")
		return nil
	}
	return p.parse(path, string(data), depth)
}

func rootCause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

func (p *parser) parse(path, text string, depth int) *file {
	f := &file{path: path}
	for i, raw := range strings.Split(text, "\n") {
		l := line{number: i + 1}
		l.written, l.rest = cutKeyword(strings.Trim(raw, " \t\r\f"))
		l.keyword = strings.ToLower(l.written)
		if l.keyword == "" || l.keyword[0] == '#' {
			continue
		}
		if l.rest == "" {
			p.add(path, l.number, "%s has no argument", l.written)
			continue
		}
		args, err := words(l.rest)
		if err != nil && l.keyword != "proxycommand" && l.keyword != "proxyjump" {
			p.add(path, l.number, "%s: %v", l.written, err)
			continue
		}
		l.args = args
		if l.keyword == "include" {
			l.includes = p.include(path, l, depth)
		}
		f.lines = append(f.lines, l)
	}
	return f
}

// cutKeyword gives the first word and what follows the space, and the one = that may stand between them.
func cutKeyword(text string) (keyword, rest string) {
	end := strings.IndexAny(text, " \t=")
	if end < 0 {
		return text, ""
	}
	keyword, rest = text[:end], strings.TrimLeft(text[end:], " \t")
	if after, ok := strings.CutPrefix(rest, "="); ok {
		rest = strings.TrimLeft(after, " \t")
	}
	return strings.Trim(keyword, `"`), rest
}

// words splits at blanks. Quotes, single or double, keep blanks; a backslash stands before a quote, a backslash, or a blank outside
// quotes; # at the start of a word begins a comment.
func words(text string) ([]string, error) {
	var out []string
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case ' ', '\t':
			continue
		case '#':
			return out, nil
		}
		var word strings.Builder
		var quote byte
		for ; i < len(text); i++ {
			c := text[i]
			if c == '\\' && i+1 < len(text) && (strings.IndexByte(`'"\`, text[i+1]) >= 0 || quote == 0 && text[i+1] == ' ') {
				i++
				word.WriteByte(text[i])
				continue
			}
			if quote == 0 && (c == ' ' || c == '\t') {
				break
			}
			switch {
			case quote == 0 && (c == '"' || c == '\''):
				quote = c
			case quote != 0 && c == quote:
				quote = 0
			default:
				word.WriteByte(c)
			}
		}
		if quote != 0 {
			return nil, fmt.Errorf("a quote is not closed")
		}
		out = append(out, word.String())
	}
	return out, nil
}

// include reads the files that an Include names. A pattern that fits none is fine.
func (p *parser) include(path string, l line, depth int) []*file {
	var out []*file
	for _, pattern := range l.args {
		switch {
		case strings.HasPrefix(pattern, "~") && !p.user:
			p.add(path, l.number, "Include: ~ has no meaning in a system's file")
			continue
		case strings.HasPrefix(pattern, "~"):
			expanded, err := expandHome(pattern, p.home)
			if err != nil {
				p.add(path, l.number, "Include: %v", err)
				continue
			}
			pattern = expanded
		case !filepath.IsAbs(pattern) && p.user:
			pattern = filepath.Join(p.home, ".ssh", pattern)
		case !filepath.IsAbs(pattern):
			pattern = filepath.Join("/etc/ssh", pattern)
		}
		found, err := filepath.Glob(pattern)
		if err != nil {
			p.add(path, l.number, "Include: %q is no pattern for files", pattern)
			continue
		}
		for _, name := range found {
			before := len(p.mistakes)
			if f := p.file(name, true, depth+1); f != nil {
				out = append(out, f)
			}
			if len(p.mistakes) > before && depth >= maxDepth {
				return out // one report of a loop is enough
			}
		}
		if len(p.mistakes) > 20 {
			return out
		}
	}
	return out
}
