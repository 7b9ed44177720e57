package cmd_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/pgfleet/pgfleet/cmd"
)

const reference = "../docs/reference.md"

// The reference page is what the program says of itself.
func TestReferenceIsUpToDate(t *testing.T) {
	var out, errs bytes.Buffer
	sys := cmd.OS()
	sys.Out, sys.Err = &out, &errs
	if code := cmd.Main([]string{"docs"}, sys); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	if *update {
		if err := os.WriteFile(reference, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(page, out.Bytes()) {
		t.Errorf("%s is not what the program says; write it with: go run ./cmd/pgfleet docs > docs/reference.md", reference)
	}
}
