package tasks

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

// caWorld is a fleet of authorities whose hosts are folders of this machine: steps really run, with the shell under test.
type caWorld struct {
	t     *testing.T
	fleet *Fleet
	shell []string
	now   func() time.Time

	mu sync.Mutex
	// results of everything that was ever run; calls and steps count.
	results      []transport.Result
	calls, steps int
	// cut, if not nil, is asked at each call: before or after it the connection is lost.
	cut func(call int) (before, after bool)
	// program replaces ca.sh.
	program string
	// env is added to what programs have.
	env []string
}

var errCut = errors.New("connection cut by the test")

// newCAWorld declares authorities, each in a folder of its own below a temporary one.
func newCAWorld(t *testing.T, authorities ...pki.Authority) *caWorld {
	t.Helper()
	w := &caWorld{t: t, shell: []string{"/bin/sh"}, now: time.Now}
	base := t.TempDir()
	declared := map[string]pki.Authority{}
	w.fleet = &Fleet{Hosts: map[string]*Host{}, Authorities: declared, Run: "test", Now: time.Now()}
	for _, a := range authorities {
		if a.Dir == "" {
			a.Dir = filepath.Join(base, a.Host, "ca", a.Name)
		}
		declared[a.Name] = a
		if w.fleet.Hosts[a.Host] == nil {
			w.fleet.Hosts[a.Host] = &Host{Name: a.Host, View: &View{}, Fleet: w.fleet}
		}
	}
	w.connect()
	return w
}

// connect forgets what was seen, as a new run does.
func (w *caWorld) connect() {
	for _, h := range w.fleet.Hosts {
		h.View = &View{}
	}
	w.fleet.CA = NewAuthorities(w.fleet.Authorities, func(host string) *View {
		if h := w.fleet.Hosts[host]; h != nil {
			return h.View
		}
		return nil
	}, func(ctx context.Context, _ string, steps ...transport.Step) ([]transport.Result, error) {
		return w.Do(ctx, steps...)
	}, func() time.Time { return w.now() })
}

// Do runs steps in a shell of this machine.
func (w *caWorld) Do(ctx context.Context, steps ...transport.Step) ([]transport.Result, error) {
	w.mu.Lock()
	w.calls++
	call := w.calls
	w.steps += len(steps)
	w.mu.Unlock()
	before, after := false, false
	if w.cut != nil {
		before, after = w.cut(call)
	}
	if before {
		return nil, errCut
	}
	var out []transport.Result
	for _, s := range steps {
		r := w.one(ctx, s)
		out = append(out, r)
		if r.Err != nil && !s.Probe {
			break
		}
	}
	w.mu.Lock()
	w.results = append(w.results, out...)
	w.mu.Unlock()
	if after {
		return nil, errCut
	}
	return out, nil
}

func (w *caWorld) one(ctx context.Context, s transport.Step) transport.Result {
	program := s.Shell
	if w.program != "" && program == caProgram {
		program = w.program
	}
	words := append(append(append([]string(nil), w.shell...), "-c", program, "pgfleet"), s.Argv...)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(s.Stdin), &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Dir, cmd.Env = "/", append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, w.env...)
	err := cmd.Run()
	r := transport.Result{Key: s.Key, Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}
	if err != nil {
		r.Code = cmd.ProcessState.ExitCode()
		r.Err = &transport.ExitError{Code: r.Code, Stderr: r.Stderr}
	}
	return r
}

// run is runTask with the task authority.
func (w *caWorld) run(host string) (changed bool, err error) {
	w.t.Helper()
	return w.runTask(host, &authorityTask{})
}

// runTask does what the runner does with a task on one host: look, check, apply, close with probes, check again.
func (w *caWorld) runTask(host string, task Task) (changed bool, err error) {
	w.t.Helper()
	ctx := context.Background()
	h := w.fleet.Hosts[host]
	look, err := w.Do(ctx, task.Needs(h)...)
	if err != nil {
		return false, err
	}
	h.View.Put(look...)
	change, err := task.Check(ctx, h)
	if err != nil || change == nil {
		return false, err
	}
	closing, err := change.Apply(ctx, w)
	if err != nil {
		return true, err
	}
	needs := slices.DeleteFunc(task.Needs(h), func(s transport.Step) bool { return slices.Contains(change.Shows, s.Key) })
	results, err := w.Do(ctx, append(closing[:len(closing):len(closing)], needs...)...)
	if err != nil {
		return true, err
	}
	if change.Then != nil {
		if err := change.Then(results[:len(closing)]); err != nil {
			return true, err
		}
	}
	h.View.Put(results...)
	again, err := task.Check(ctx, h)
	if err == nil && again != nil {
		err = errors.New("still wants: " + again.Summary)
	}
	return true, err
}

// mustRun runs the task on hosts, in order, and fails the test on an error.
func (w *caWorld) mustRun(hosts ...string) {
	w.t.Helper()
	for _, host := range hosts {
		if _, err := w.run(host); err != nil {
			w.t.Fatalf("authority on %s: %v", host, err)
		}
	}
}

// path is a file of an authority.
func (w *caWorld) path(name string, parts ...string) string {
	return filepath.Join(append([]string{w.fleet.Authorities[name].Dir}, parts...)...)
}

// openssl runs the real program and gives what it printed.
func (w *caWorld) openssl(args ...string) (string, error) {
	out, err := exec.Command("openssl", args...).CombinedOutput()
	return string(out), err
}

// write makes a file for a test.
func (w *caWorld) write(name string, data []byte) string {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), name)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return file
}

// summary looks at a host and says what the task would change, "" for nothing; with --check nothing more would happen.
func (w *caWorld) summary(host string) (string, error) {
	w.t.Helper()
	h, task := w.fleet.Hosts[host], &authorityTask{}
	look, err := w.Do(context.Background(), task.Needs(h)...)
	if err != nil {
		return "", err
	}
	h.View.Put(look...)
	change, err := task.Check(context.Background(), h)
	if err != nil || change == nil {
		return "", err
	}
	return change.Summary, nil
}

func itoa(n int) string { return strconv.Itoa(n) }

// resultOf is the result of a step that printed out.
func resultOf(out []byte) transport.Result { return transport.Result{Stdout: out} }
