package tasks

import (
	"slices"
	"testing"
)

// A list that several hosts have is told once, with a hint for all of them; another hint is another line.
func TestMergeEndings(t *testing.T) {
	end := func(host, list, hint string) Ending { return Ending{host, list, "it ended", hint} }
	got := MergeEndings([]Ending{
		end("db1", "list 3", "bring it to /a on db1, then: pgfleet run crl -l db1"), end("db1", "list 4", "x"), end("db1", "list 3", "bring it to /a on db1, then: pgfleet run crl -l db1"),
		end("db2", "list 3", "bring it to /a on db2, then: pgfleet run crl -l db2"), end("db3", "list 3", "bring it to /b on db3, then: pgfleet run crl -l db3"),
	})
	want := []Ending{end("db1, db2", "list 3", "bring it to /a on db1, db2, then: pgfleet run crl"), end("db1", "list 4", "x"), end("db3", "list 3", "bring it to /b on db3, then: pgfleet run crl -l db3")}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}
