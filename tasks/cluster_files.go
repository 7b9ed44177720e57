package tasks

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// readConfigFile takes postgresql.conf, pg_hba.conf or pg_ident.conf; which one it is, its path says.
func (c *Cluster) readConfigFile(body []byte) error {
	f, _, err := readFileRecord(body)
	if err != nil {
		return err
	}
	c.ConfigFiles[f.Path] = f
	switch f.Path {
	case c.ConfigFile:
		c.Config = f.Bytes
	case c.HBAFile:
		c.HBA = f.Bytes
	case c.IdentFile:
		c.Ident = f.Bytes
	}
	if f.Missing && f.Path != c.IdentFile {
		c.problem(f.Path + " is not there")
	} else if !f.Readable && !f.Missing {
		c.problem(fmt.Sprintf("%s cannot be read as %s", f.Path, c.OSUser))
	}
	return nil
}

// readFileRecord takes "kind found size mode user group mtime path\nbytes", "kind unreadable …", "kind missing path\nwhy" or "kind link path\ntarget".
func readFileRecord(body []byte) (HostFile, string, error) {
	head, content, _ := strings.Cut(string(body), "\n")
	kind, rest, _ := strings.Cut(head, " ")
	state, rest, _ := strings.Cut(rest, " ")
	if state == "missing" {
		absent := strings.Contains(content, "No such file") || strings.Contains(content, "Not a directory")
		return HostFile{Path: rest, Missing: absent}, kind, nil
	}
	if state == "link" {
		return HostFile{Path: rest, Link: content}, kind, nil
	}
	words := strings.SplitN(rest, " ", 6)
	if len(words) != 6 || state != "found" && state != "unreadable" {
		return HostFile{}, kind, fmt.Errorf("file record %q is not as agreed", clipText(head))
	}
	mode, err := strconv.ParseUint(words[1], 8, 32)
	if err != nil {
		return HostFile{}, kind, fmt.Errorf("file record %q: mode: %w", clipText(head), err)
	}
	f := HostFile{Path: words[5], Mode: uint32(mode), Owner: words[2], Group: words[3], ModTime: unixTime(words[4]), Readable: state == "found"}
	if f.Readable {
		f.Bytes = []byte(content)
	}
	return f, kind, nil
}

// unixTime reads seconds since 1970 with an optional fraction; the zero time when it is none.
func unixTime(text string) time.Time {
	whole, frac, _ := strings.Cut(strings.TrimSpace(text), ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return time.Time{}
	}
	nano, _ := strconv.ParseInt((frac + "000000000")[:9], 10, 64)
	return time.Unix(sec, nano).UTC()
}
