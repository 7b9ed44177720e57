package transporttest

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

func TestSandbox(t *testing.T) {
	sb := NewSandbox(t)
	ctx := context.Background()
	results, err := sb.Do(ctx,
		transport.Step{Key: "a", Argv: []string{"id", "-un"}},
		transport.Step{Key: "b", Shell: `printf "%s|" "$@"; cat; echo err >&2; pwd`, Argv: []string{"x y", "", "a\nb\n"}, Stdin: []byte("in\x00put")},
		transport.Step{Key: "w", Write: &transport.FileMeta{Path: "/etc/pgfleet-test", Owner: "postgres", Group: "postgres", Mode: 0o640}, Stdin: []byte("hello\n")},
		transport.Step{Key: "r", Read: "/etc/pgfleet-test"},
		transport.Step{Key: "m", Read: "/etc/missing"},
	)
	for i, r := range results {
		t.Logf("%d: %s %d %q %q %v %+v %v", i, r.Key, r.Code, r.Stdout, r.Stderr, r.Err, r.File, r.Took)
	}
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for i := 0; i < 100; i++ {
		if _, err := sb.Do(ctx, transport.Step{Argv: []string{"true"}}); err != nil {
			t.Fatal(err)
		}
	}
	t.Log("per command", time.Since(begin)/100)
	big := bytes.Repeat([]byte("0123456789\x00\xff"), 2<<20)
	begin = time.Now()
	results, err = sb.Do(ctx, transport.Step{Argv: []string{"cat"}, Stdin: big})
	if err != nil || !bytes.Equal(results[0].Stdout, big) {
		t.Fatal("cat", err)
	}
	t.Log("24 MB both ways", time.Since(begin))
	begin = time.Now()
	sb.Do(ctx, transport.Step{User: "postgres", Shell: `id; echo $HOME; ls -l /proc/self/fd; ps ax`})
	results, err = sb.Do(ctx, transport.Step{User: "postgres", Shell: `id; echo $HOME; ls -l /proc/self/fd; ps ax`})
	t.Logf("%v %s %v", time.Since(begin)/2, results[0].Stdout, results[0].Err)
	t.Log(sb.Exec("hostname"), sb.Shell("ip addr"))
}
