package transport

import "testing"

func TestExitErrorSaysWhy(t *testing.T) {
	for stderr, want := range map[string]string{
		"":                           "exit code 1",
		"a warning\nno such thing\n": "exit code 1: no such thing",
		"x\nmv: cannot move 'a' to 'b': Operation not permitted\ncannot write b as app\n": "exit code 1: cannot write b as app: mv: cannot move 'a' to 'b': Operation not permitted",
		"printf: I/O error\ncannot write in /d: No space left on device":                  "exit code 1: cannot write in /d: No space left on device",
		"cannot write b": "exit code 1: cannot write b",
	} {
		if got := (&ExitError{Code: 1, Stderr: []byte(stderr)}).Error(); got != want {
			t.Errorf("%q: %s, want %s", stderr, got, want)
		}
	}
}
