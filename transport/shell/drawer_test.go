package shell

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/transport"
)

// What waits for a step's standard input lies in a folder that only the acting shell can enter, and is gone before the step begins:
// in /dev/shm itself, whoever gets the file could put a link in its place before root opens it.
func TestStdinLiesInAClosedFolder(t *testing.T) {
	session, _, err := Start(t.Context(), local(t, "/bin/sh", "-c", `IFS= read -r p && eval "$p"`))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	r, err := session.Run(t.Context(), []transport.Step{{Shell: "readlink /proc/self/fd/0; cat", Stdin: []byte("text")}})
	if err != nil || r[0].Err != nil {
		t.Fatal(err, r)
	}
	at, text, _ := strings.Cut(string(r[0].Stdout), "\n")
	if text != "text" || !regexp.MustCompile(`^/(dev/shm|run|tmp)/\.pgfleet\.[A-Z2-7]+\.[0-9]+/in \(deleted\)$`).MatchString(at) {
		t.Errorf("%q %q", at, text)
	}
	if _, err := os.Lstat(filepath.Dir(at)); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", filepath.Dir(at), err)
	}
}

// A process of another user keeps what it was given as standard output. Nothing that it writes there later arrives among what root prints.
func TestOutputOfOthersIsApart(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root acts as others")
	}
	session, _, err := Start(t.Context(), local(t, "/bin/sh", "-c", `IFS= read -r p && eval "$p"`))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	where := transport.Step{Shell: `readlink /proc/self/fd/1; for f in /proc/self/fd/*; do case ${f##*/} in 0 | 1 | 2) ;; *) readlink "$f" ;; esac; done; exit 7`, Probe: true}
	other := where
	other.User = "nobody"
	r, err := session.Run(t.Context(), []transport.Step{where, other})
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(r[0].Stdout), "\n")
	if !strings.HasPrefix(first, "pipe:") || !strings.HasPrefix(string(r[1].Stdout), "pipe:") || strings.Contains(string(r[1].Stdout), first) {
		t.Errorf("root writes to %q, the other has %q", first, r[1].Stdout)
	}
	if r[0].Code != 7 || r[1].Code != 7 {
		t.Errorf("codes %d and %d, not 7", r[0].Code, r[1].Code)
	}
}
