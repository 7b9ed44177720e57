package tasks

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// record is one piece of what the probe printed.
type record struct {
	name string
	body []byte
}

// readRecords takes the probe's output apart: "name length\n", bytes, "\n". The last record must be "end": output that was cut is an error.
func readRecords(out []byte) ([]record, error) {
	var list []record
	for pos := 0; pos < len(out); {
		nl := bytes.IndexByte(out[pos:], '\n')
		if nl < 0 {
			return nil, fmt.Errorf("byte %d: a record's heading has no end", pos)
		}
		name, size, ok := strings.Cut(string(out[pos:pos+nl]), " ")
		n, err := strconv.Atoi(size)
		start := pos + nl + 1
		if !ok || err != nil || n < 0 || n >= len(out)-start || out[start+n] != '\n' {
			return nil, fmt.Errorf("byte %d: record %q does not have the length that its heading says", pos, clipText(string(out[pos:pos+nl])))
		}
		list = append(list, record{name, out[start : start+n]})
		pos = start + n + 1
		if name == "end" {
			if pos != len(out) {
				return nil, fmt.Errorf("byte %d: something follows the end", pos)
			}
			return list, nil
		}
	}
	return list, errNoEnd
}

// errNoEnd is output without its last record.
var errNoEnd = errors.New("it ends early")

// withBodies gives the records of files the bytes that a record "bodies" has for all of them, in their order.
func withBodies(list []record) ([]record, error) {
	at := slices.IndexFunc(list, func(r record) bool { return r.name == "bodies" })
	if at < 0 {
		return list, nil
	}
	rest := list[at].body
	list = slices.Delete(list, at, at+1)
	for i, r := range list {
		kind, told, _ := strings.Cut(string(r.body), " ")
		meta, follows := strings.CutPrefix(told, "follows ")
		if !follows || !slices.Contains([]string{"config", "file", "beside", "noted"}, r.name) {
			continue
		}
		size, _, _ := strings.Cut(meta, " ")
		n, err := strconv.Atoi(size)
		if err != nil || n < 0 || n > len(rest) {
			return nil, fmt.Errorf("files have not the sizes that were said (%q)", clipText(string(r.body)))
		}
		list[i].body = slices.Concat([]byte(kind+" found "+meta), rest[:n])
		rest = rest[n:]
	}
	if len(rest) != 0 {
		return nil, errors.New("files have more bytes than was said")
	}
	return list, nil
}
