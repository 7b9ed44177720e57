package shell

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

// local runs a command with its ends as pipes.
func local(t *testing.T, name string, args ...string) Pipes {
	t.Helper()
	cmd := exec.Command(name, args...)
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	errs, _ := cmd.StderrPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return Pipes{In: in, Out: out, Err: errs, Close: func() error { in.Close(); return cmd.Process.Kill() }}
}

func TestStartFails(t *testing.T) {
	for name, c := range map[string]struct{ program, want string }{
		"nothing there":   {"exit 1", "ended"},
		"refuses":         {"echo 'sudo: a password is required' >&2; exit 1", "password is required"},
		"forced command":  {"echo 'This account is for backups only.'; exit 0", "backups only"},
		"does not answer": {"exec sleep 50", "deadline"},
		"echoes":          {"exec cat", "deadline"},
		"floods":          {"exec yes", "too much output"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limit := time.Minute
			if c.want == "deadline" {
				limit = 500 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			_, _, err := Start(ctx, local(t, "/bin/sh", "-c", c.program))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
			var start *StartError
			if strings.Contains(c.want, "deadline") == errors.As(err, &start) {
				t.Errorf("got %T", err)
			}
		})
	}
}

func TestStartAmongNoise(t *testing.T) {
	session, host, err := Start(t.Context(), local(t, "/bin/sh", "-c", `echo Welcome; printf "no newline"; echo noise >&2; IFS= read -r p && eval "$p"`))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	r, err := session.Run(t.Context(), []transport.Step{{Shell: "echo out; echo err >&2"}})
	if err != nil || string(r[0].Stdout) != "out\n" || string(r[0].Stderr) != "err\n" || host.User == "" {
		t.Errorf("%+v %v %v", r, err, host)
	}
}

// TestRubbish: a line that is no frame ends the session.
func TestRubbish(t *testing.T) {
	session, _, err := Start(t.Context(), local(t, "/bin/sh", "-c", `IFS= read -r p && eval "$p"`))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	session.pipes.In.Write([]byte("what is this\n"))
	_, err = session.Run(t.Context(), []transport.Step{{Argv: []string{"true"}}})
	if !errors.Is(err, transport.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	if _, err := session.Run(t.Context(), []transport.Step{{Argv: []string{"true"}}}); !errors.Is(err, transport.ErrUnreachable) {
		t.Errorf("afterwards: %v", err)
	}
}
