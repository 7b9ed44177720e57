package cmd

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/tasks"
)

// Only yes is yes, and the question says what it means.
func TestRevokeAsks(t *testing.T) {
	records := testRecords(t)
	for answer, want := range map[string]error{"yes\n": nil, "y\n": nil, "\n": exitStatus(exitInterrupted), "no\n": exitStatus(exitInterrupted)} {
		var said bytes.Buffer
		sys := &System{In: strings.NewReader(answer), Err: &said, Size: func(any) (int, int, bool) { return 80, 24, true }}
		o := &revokeOptions{reason: "keyCompromise", offboard: true}
		if err := o.ask(sys, []tasks.Issued{records[0].issued[3], records[0].issued[4]}); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", answer, err, want)
		}
		for _, part := range []string{"these 2 certificates", "keyCompromise", "remove their holders' keys"} {
			if !strings.Contains(said.String(), part) {
				t.Errorf("no %q in %q", part, said.String())
			}
		}
	}
}
