package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
	"github.com/pgfleet/pgfleet/transport"
)

func TestExitCode(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		code int
	}{
		"nothing":         {nil, 0},
		"internal":        {errors.New("index out of range"), 1},
		"a host failed":   {exitStatus(2), 2},
		"a host's state":  {&hostError{text: "its records are gone"}, 2},
		"unverified":      {exitStatus(3), 3},
		"unreachable":     {fmt.Errorf("connect to db1: %w", transport.ErrUnreachable), 4},
		"host key":        {fmt.Errorf("connect to db1: %w", transport.ErrHostKey), 4},
		"login":           {fmt.Errorf("connect to db1: %w", transport.ErrAuth), 4},
		"sudo":            {fmt.Errorf("connect to db1: %w", transport.ErrBecome), 4},
		"usage":           {usagef("no"), 5},
		"wrapped usage":   {fmt.Errorf("run: %w", usagef("no")), 5},
		"inventory":       {inventory.Problems{{File: "inventory.yaml", Line: 3, Text: "wrong"}}, 5},
		"file of theirs":  {asConfiguration(errors.New("open x: permission denied")), 5},
		"locked":          {fmt.Errorf("db1: %w", &playbooks.LockedError{Host: "db1"}), 6},
		"changes pending": {exitStatus(7), 7},
		"interrupted":     {fmt.Errorf("run: %w", context.Canceled), 130},
		"cut connection":  {fmt.Errorf("%w: %w", transport.ErrUnreachable, context.Canceled), 130},
	} {
		if got := exitCode(c.err); got != c.code {
			t.Errorf("%s: %d, want %d", name, got, c.code)
		}
	}
}

func TestExitTextsNameEveryCode(t *testing.T) {
	known := map[int]bool{}
	for _, e := range exitTexts {
		known[e.code] = true
	}
	for _, code := range []int{exitOK, exitInternal, exitFailed, exitUnverified, exitUnreachable, exitUsage, exitLocked, exitPending, exitInterrupted} {
		if !known[code] {
			t.Errorf("exit code %d is not explained", code)
		}
	}
}

func TestReport(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{exitStatus(2), ""},
		{errors.New("broken"), "error: broken\n"},
		{&usageError{"no such thing", "try the other"}, "error: no such thing\nhint: try the other\n"},
		{fmt.Errorf("run: %w", &usageError{"no such thing", "try the other"}), "error: run: no such thing\nhint: try the other\n"},
		{inventory.Problems{{File: "a.yaml", Line: 1, Text: "x"}, {File: "a.yaml", Line: 2, Text: "y"}}, "error: a.yaml:1: x\nerror: a.yaml:2: y\n"},
		{fmt.Errorf("read answer: %w", context.Canceled), "error: interrupted\n"},
		{errors.New("host said \x1b[2Jboo"), "error: host said \\x1b[2Jboo\n"},
	} {
		var b bytes.Buffer
		report(&b, c.err)
		if b.String() != c.want {
			t.Errorf("%v: %q, want %q", c.err, b.String(), c.want)
		}
	}
}
