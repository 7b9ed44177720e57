package transporttest

import (
	"fmt"
	"os"
	"testing"
)

// Unable skips a test that cannot run here, or fails it with CI=true, where every test must run. Since go test hides what a passing
// package prints, the test's name is added to the file that PGFLEET_SKIPPED names, if it is set: `make test` counts its lines.
func Unable(tb testing.TB, why string) {
	tb.Helper()
	if os.Getenv("CI") == "true" {
		tb.Fatal(why)
	}
	if path := os.Getenv("PGFLEET_SKIPPED"); path != "" {
		if f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644); err == nil {
			fmt.Fprintf(f, "%s: %s\n", tb.Name(), why)
			f.Close()
		}
	}
	tb.Skip(why)
}
