package shell

import (
	"os"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/transport"
)

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
