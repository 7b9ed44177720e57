package tasks

import (
	"slices"
	"testing"
)

// A list that several hosts have is told once, with a hint for all of them; another hint is another line.
func TestMergeEndings(t *testing.T) {
	end := func(host, list, hint string) EndingList { return EndingList{host, list, "it ended", hint} }
	got := MergeEndings([]EndingList{
		end("a", "list 3", "bring it to /a on a, then: pgfleet run crl -l a"), end("db1", "list 3", "bring it to /a on db1, then: pgfleet run crl -l db1"), end("db1", "list 4", "x"), end("db1", "list 3", "bring it to /a on db1, then: pgfleet run crl -l db1"),
		end("db2", "list 3", "bring it to /a on db2, then: pgfleet run crl -l db2"), end("db3", "list 3", "bring it to /b on db3, then: pgfleet run crl -l db3"),
	})
	want := []EndingList{end("a, db1, db2", "list 3", "bring it to /a on a, db1, db2, then: pgfleet run crl"), end("db1", "list 4", "x"), end("db3", "list 3", "bring it to /b on db3, then: pgfleet run crl -l db3")}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}
