package tasks

import (
	"context"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/transport"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

// Between look and change an OS user can put anything in a file's place. What is kept of it takes no more than 16 MiB of root's disk.
func TestKeepEndless(t *testing.T) {
	t.Parallel()
	sb := transporttest.NewSandbox(t)
	sb.Shell("useradd -m mallory; cd /home/mallory && head -c 17000000 /dev/zero >big && echo small >small && chown mallory: big small && mkdir /etc/pgfleet")
	program := postgresAs + postgresLibProgram + undoCopyProgram + "\n" + `dir=/etc/pgfleet/1-x; keep_before R "$@"`
	for file, want := range map[string]string{"big": "more than 16 MiB", "small": ""} {
		results, err := sb.Connect().Do(context.Background(), transport.Step{Key: file, Shell: program, Argv: []string{"mallory", "/home/mallory/" + file}, Probe: true})
		if err != nil {
			t.Fatal(err)
		}
		if errs := string(results[0].Stderr); (results[0].Err == nil) != (want == "") || !strings.Contains(errs, want) {
			t.Errorf("%s: %v %s", file, results[0].Err, errs)
		}
	}
	if kept := sb.Shell("cd /etc/pgfleet/1-x/.undo/R; cat *; du -k . | cut -f1"); !strings.Contains(kept, "small") || len(kept) > 1000 {
		t.Errorf("kept: %.300s", kept)
	}
}
