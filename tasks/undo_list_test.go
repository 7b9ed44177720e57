package tasks

import (
	"fmt"
	"testing"

	"github.com/pgfleet/pgfleet/transport"
)

func TestCopiedFiles(t *testing.T) {
	h := &Host{Name: "db1", View: &View{}}
	answer := "/etc/pgfleet/15-main/.undo/R0\n1 644 postgres postgres /old\n\n" +
		"/etc/pgfleet/15-main/.undo/R1\n- - - - /etc/pgfleet/15-main/pgfleet.conf\n2 644 postgres postgres /etc/postgresql/15/my main/postgresql.conf\n- - - - /d/ca.crt\ntheirs 2 0a1b\n\n" +
		"/etc/pgfleet/15-main/.undo/R1~2\n1 644 root root /etc/pgfleet/15-main/pgfleet.conf\n2 640 postgres postgres /etc/postgresql/15/my main/pg_hba.conf\n\n" +
		"/etc/pgfleet/15-main/.undo/R2\n1 640 postgres postgres /etc/postgresql/15/my main/pg_ident.conf\n\n" +
		"/etc/pgfleet/15-two/.undo/R2\n1 640 postgres postgres /two\n\n"
	h.View.Put(transport.Result{Key: KeyCopies, Stdout: []byte(answer)})
	got, err := CopiedFiles(h, "R1")
	const dir = "/etc/pgfleet/15-main"
	want := []KeptCopy{{"/etc/pgfleet/15-main/pgfleet.conf", true, "", dir}, {"/etc/postgresql/15/my main/postgresql.conf", false, "0a1b", dir}, {"/d/ca.crt", true, "", dir},
		{"/etc/postgresql/15/my main/pg_hba.conf", false, "", dir}, {"/etc/postgresql/15/my main/pg_ident.conf", false, "", dir}}
	if err != nil || fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
		t.Errorf("got %v, %v", got, err)
	}
	if text := fmt.Sprint(got[:3]); text != "[empty /etc/pgfleet/15-main/pgfleet.conf (it was not there) put back /etc/postgresql/15/my main/postgresql.conf remove /d/ca.crt (it was not there)]" {
		t.Error(text)
	}
	if got, err := CopiedFiles(h, "R3"); err != nil || len(got) != 0 {
		t.Errorf("a run without copies: %v, %v", got, err)
	}
	h.View.Put(transport.Result{Key: KeyCopies, Stdout: []byte("/etc/pgfleet/15-main/.undo/R1\nwhat\n\n")})
	if got, err := CopiedFiles(h, "R1"); err == nil {
		t.Errorf("a broken manifest was read as %q", got)
	}
}
