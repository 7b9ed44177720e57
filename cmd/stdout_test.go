package cmd

import (
	"bytes"
	"os"
	"testing"
)

// What standard output does not take is told, and is no success.
func TestLostOutput(t *testing.T) {
	closed, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for _, c := range []struct{ code, want int }{{0, 1}, {4, 4}} {
		out := &stdout{file: closed}
		if _, err := out.Write([]byte("x")); err == nil {
			t.Fatal("it was written")
		}
		var said bytes.Buffer
		if got := complain(&System{Out: out, Err: &said}, c.code); got != c.want || said.Len() == 0 {
			t.Errorf("%d became %d, want %d: %s", c.code, got, c.want, said.String())
		}
	}
}
