package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/cmd"
	"github.com/pgfleet/pgfleet/lab"
	"github.com/pgfleet/pgfleet/lab/labtest"
)

// asPgfleet makes this test binary be pgfleet: a process of its own can be killed.
const asPgfleet = "PGFLEET_E2E_AS_PGFLEET"

func TestMain(m *testing.M) {
	if os.Getenv(asPgfleet) != "" {
		os.Exit(cmd.Main(os.Args[1:], cmd.OS()))
	}
	os.Exit(m.Run())
}

// shipped is the playbook that users run.
const shipped = "mtls"

// fleet is a lab as pgfleet's user has it: hosts and an inventory.
type fleet struct {
	lab       *lab.Lab
	inventory string
}

func newFleet(t *testing.T, o lab.Options) *fleet {
	t.Helper()
	l := labtest.Up(t, o)
	return &fleet{lab: l, inventory: filepath.Join(l.Folder(), "inventory.yaml")}
}

// reset gives fresh hosts.
func (f *fleet) reset(t *testing.T, hosts ...string) {
	t.Helper()
	if err := f.lab.Reset(t.Context(), hosts...); err != nil {
		t.Fatal(err)
	}
}

// with gives the same hosts with other words in the inventory: pairs of old and new text.
func (f *fleet) with(t *testing.T, oldnew ...string) *fleet {
	t.Helper()
	text, err := os.ReadFile(f.inventory)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(string(text), oldnew[i]) {
			t.Fatalf("no %q in the inventory:\n%s", oldnew[i], text)
		}
		text = []byte(strings.Replace(string(text), oldnew[i], oldnew[i+1], 1))
	}
	path := filepath.Join(t.TempDir(), "inventory.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return &fleet{lab: f.lab, inventory: path}
}

// pgfleet runs a command line with this fleet's inventory.
func (f *fleet) pgfleet(t *testing.T, args ...string) (int, string) {
	t.Helper()
	return runPgfleet(t, f.line(args)...)
}

func (f *fleet) line(args []string) []string {
	return append(slices.Clone(args), "-i", f.inventory, "--ssh-config", "none")
}

// want runs a command line that ends in a code and says these things.
func (f *fleet) want(t *testing.T, code int, says []string, args ...string) string {
	t.Helper()
	got, out := f.pgfleet(t, args...)
	if got != code {
		t.Fatalf("pgfleet %s: exit %d, want %d:\n%s", strings.Join(args, " "), got, code, out)
	}
	for _, s := range says {
		if !strings.Contains(out, s) {
			t.Errorf("pgfleet %s does not say %q:\n%s", strings.Join(args, " "), s, out)
		}
	}
	return out
}

// finishes runs the shipped playbook until it is done, and again to see that nothing is left: everything is tested, nothing differs.
func (f *fleet) finishes(t *testing.T, args ...string) {
	t.Helper()
	args = append([]string{"run", shipped, "-o", "json"}, args...)
	code, out := f.pgfleet(t, args...)
	doc := readDocument(t, out)
	if code != 0 {
		t.Fatalf("the next run ends with %d:\n%s", code, out)
	}
	if len(doc.Cells) == 0 {
		t.Errorf("the next run tested nothing:\n%s", out)
	}
	for _, c := range doc.Cells {
		if !c.OK || c.NotProven {
			t.Errorf("the next run: %+v", c)
		}
	}
	code, out = f.pgfleet(t, args...)
	if code != 0 {
		t.Fatalf("the run after it ends with %d:\n%s", code, out)
	}
	for _, task := range readDocument(t, out).Tasks {
		if task.Kind != "ok" {
			t.Errorf("the run after it: %s %s is %s: %s %s", task.Host, task.Task, task.Kind, task.Summary, task.Reason)
		}
	}
}

// process is a pgfleet of its own.
type process struct {
	*exec.Cmd
	out bytes.Buffer
	// ended is closed when it has; err is how.
	ended chan struct{}
	err   error
}

func (f *fleet) start(t *testing.T, args ...string) *process {
	t.Helper()
	return f.startIn(t, "", args...)
}

// startIn is start with a folder for temporary files.
func (f *fleet) startIn(t *testing.T, temporary string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command("/proc/self/exe", f.line(args)...), ended: make(chan struct{})}
	p.Env = append(os.Environ(), asPgfleet+"=1")
	if temporary != "" {
		p.Env = append(p.Env, "TMPDIR="+temporary)
	}
	p.Stdout, p.Stderr = &p.out, &p.out
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.kill() })
	go func() {
		p.err = p.Wait()
		close(p.ended)
	}()
	return p
}

// kill ends it as a power cut would, unless it has ended, and waits.
func (p *process) kill() {
	_ = p.Process.Kill()
	<-p.ended
}

// code waits for the end.
func (p *process) code() int {
	<-p.ended
	return p.ProcessState.ExitCode()
}

// try runs a command as an OS user in a host; it may fail.
func (f *fleet) try(ctx context.Context, host, user string, argv ...string) (string, error) {
	out, err := f.lab.Exec(ctx, host, append([]string{"runuser", "-u", user, "--"}, argv...), strings.NewReader(""))
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(out.Stdout + out.Stderr)
	if out.Code != 0 {
		return text, errors.New(fmt.Sprintf("exit %d: ", out.Code) + text)
	}
	return text, nil
}

// psql asks as the application's OS user on a host.
func (f *fleet) psql(t *testing.T, host, conninfo, query string) (string, error) {
	t.Helper()
	return f.try(t.Context(), host, "postgres", "env", "-i", "HOME="+home, "LC_ALL=C", psqlPath, "-XAtw", "-d", conninfo+" connect_timeout=10", "-c", query)
}

// sql asks a server itself.
func (f *fleet) sql(t *testing.T, host, query string) string {
	t.Helper()
	return labtest.Exec(t, f.lab, host, "runuser", "-u", "postgres", "--", psqlPath, "-XAt", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-c", query)
}

// sh runs a shell's text as root in a host.
func (f *fleet) sh(t *testing.T, host, text string, args ...string) string {
	t.Helper()
	return labtest.Exec(t, f.lab, host, append([]string{"sh", "-ec", text, "sh"}, args...)...)
}

func (f *fleet) addr(t *testing.T, host string) string { return address(t, f.lab, host) }
