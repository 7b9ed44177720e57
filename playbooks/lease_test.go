package playbooks

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pgfleet/pgfleet/transport"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

// shells gives the POSIX shells of this machine as command words.
func shells(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for name, words := range map[string][]string{"dash": {"dash"}, "bash": {"bash", "--posix"}, "busybox": {"busybox", "sh"}, "sh": {"/bin/sh"}} {
		if path, err := exec.LookPath(words[0]); err == nil {
			out[name] = append([]string{path}, words[1:]...)
		}
	}
	return out
}

// local runs a step's program as the transport does, and gives its result.
func local(t *testing.T, shell []string, s transport.Step, env ...string) transport.Result {
	t.Helper()
	args := append(append([]string{}, shell[1:]...), "-c", s.Shell, "pgfleet")
	cmd := exec.Command(shell[0], append(args, s.Argv...)...)
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	r := transport.Result{Key: s.Key, Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		r.Code = exit.ExitCode()
		r.Err = &transport.ExitError{Code: r.Code, Stderr: r.Stderr}
	} else if err != nil {
		t.Fatal(err)
	}
	return r
}

// withoutFlock gives a PATH in which there is everything that the programs use but flock.
func withoutFlock(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, tool := range []string{"id", "mkdir", "chmod", "date", "mv", "rm", "rmdir", "sleep"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, tool)); err != nil {
			t.Fatal(err)
		}
	}
	return "PATH=" + dir
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		transporttest.Unable(t, "needs root: leases are root's")
	}
}

func TestLease(t *testing.T) {
	needRoot(t)
	alice := tenant{run: "20261122T080102Z-aaaa", owner: "alice@desk\npid 1", holder: "boot:1:1:1"}
	bob := tenant{run: "20261122T090000Z-bbbb", owner: "bob's \"desk\" $(id)", holder: ""}
	for name, shell := range shells(t) {
		for _, env := range []string{"WITH=flock", withoutFlock(t)} {
			if name == "busybox" && env != "WITH=flock" {
				continue // its own applets come before PATH
			}
			t.Run(name+" "+env[:4], func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "pgfleet")
				take := func(who tenant, over string) error {
					return leaseError("db1", local(t, shell, who.takeStep(dir, over), env))
				}
				mustTake := func(who tenant, over string) {
					t.Helper()
					if err := take(who, over); err != nil {
						t.Fatal(err)
					}
				}
				mustTake(alice, "")
				mustTake(alice, "") // one's own run may take it again
				if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
					t.Errorf("%v %v", info, err)
				}
				var held *LockedError
				if err := take(bob, ""); !errors.As(err, &held) || !errors.Is(err, ErrLocked) {
					t.Fatalf("bob got in: %v", err)
				}
				if held.Owner != "alice@desk pid 1" || held.Run != alice.run || held.holder != alice.holder || held.Until.Sub(held.Since) < leaseLife {
					t.Errorf("%+v", held)
				}
				if err := take(bob, "another-run"); !errors.Is(err, ErrLocked) {
					t.Errorf("taken over from the wrong run: %v", err)
				}
				mustTake(bob, alice.run)
				if err := take(alice, ""); !errors.As(err, &held) || held.Owner != bob.owner {
					t.Errorf("%v %+v", err, held)
				}
				release := func(who tenant) {
					t.Helper()
					if r := local(t, shell, who.releaseStep(dir), env); r.Err != nil {
						t.Error(r.Err)
					}
				}
				release(alice) // not hers any more: nothing happens
				if err := take(alice, ""); !errors.Is(err, ErrLocked) {
					t.Errorf("a release by another run counted: %v", err)
				}
				release(bob)
				release(bob)
				mustTake(alice, "")
			})
		}
	}
}

// TestLeaseFiles: what is found in the lock file, and whether bob gets in.
func TestLeaseFiles(t *testing.T) {
	needRoot(t)
	bob := tenant{run: "b", owner: "bob"}
	now := local(t, []string{"/bin/sh"}, transport.Step{Shell: "date +%s"})
	var seconds int64
	if _, err := fmt.Sscan(string(now.Stdout), &seconds); err != nil {
		t.Fatal(err)
	}
	lock := func(end, since string) string { return "a\nalice\nh\n" + end + "\n" + since + "\n" }
	at := func(offset int64) string { return fmt.Sprint(seconds + offset) }
	for _, c := range []struct {
		name, file, want string
	}{
		{"expired", lock(at(-1), at(-100)), ""},
		{"in force", lock(at(500), at(-100)), "held by alice"},
		{"in force beyond reason, after the clock was set back", lock(at(900000), at(800000)), ""},
		{"empty", "", "cannot be read"},
		{"cut off", "a\nalice\n", "cannot be read"},
		{"not a number", lock("soon", at(0)), "cannot be read"},
		{"not a number either", lock(at(500), "x"), "cannot be read"},
		{"no run", "\nalice\nh\n" + at(500) + "\n" + at(0) + "\n", "cannot be read"},
	} {
		for name, shell := range shells(t) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "lock"), []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			err := leaseError("db1", local(t, shell, bob.takeStep(dir, "")))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s, %s: %v, want %q", c.name, name, err, c.want)
			}
		}
	}
}

// TestLeaseRace: of many runs that find one expired lease, exactly one gets it.
func TestLeaseRace(t *testing.T) {
	needRoot(t)
	for _, env := range []string{"WITH=flock", withoutFlock(t)} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "lock"), []byte("old\nalice\nh\n1\n1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		errs := make([]error, 12)
		for i := range errs {
			wg.Add(1)
			go func() {
				defer wg.Done()
				who := tenant{run: fmt.Sprintf("run%d", i), owner: "x"}
				errs[i] = leaseError("db1", local(t, []string{"/bin/sh"}, who.takeStep(dir, ""), env))
			}()
		}
		wg.Wait()
		got := 0
		for _, err := range errs {
			switch {
			case err == nil:
				got++
			case !errors.Is(err, ErrLocked):
				t.Error(err)
			}
		}
		if got != 1 {
			t.Errorf("%s: %d runs got the lease", env[:4], got)
		}
	}
}

// TestLeaseWithoutPlace: a lease that cannot be written is an error, not a lease.
func TestLeaseWithoutPlace(t *testing.T) {
	needRoot(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := leaseError("db1", local(t, []string{"/bin/sh"}, tenant{run: "a"}.takeStep(filepath.Join(file, "x"), "")))
	if err == nil || errors.Is(err, ErrLocked) {
		t.Errorf("got %v", err)
	}
}

func TestProcess(t *testing.T) {
	mine := process("/proc", os.Getpid())
	if mine == "" {
		t.Skip("no /proc here")
	}
	if ended("/proc", mine) {
		t.Error("this process is said to have ended")
	}
	cmd := exec.Command("sleep", "100")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	child := process("/proc", cmd.Process.Pid)
	if child == "" || ended("/proc", child) {
		t.Errorf("%q lives", child)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if !ended("/proc", child) {
		t.Errorf("%q has ended", child)
	}
	parts := strings.Split(mine, ":")
	for _, other := range []string{"", "x", "other:" + strings.Join(parts[1:], ":"), parts[0] + ":1:" + parts[2] + ":1", parts[0] + ":" + parts[1] + ":-1:1"} {
		if ended("/proc", other) {
			t.Errorf("%q: nothing is known of it", other)
		}
	}
	if ended(t.TempDir(), child) {
		t.Error("without /proc nothing can be known")
	}
}
