package tasks

import (
	"strings"
	"testing"
)

func TestHostsEntry(t *testing.T) {
	w := newWorld(t)
	before := w.sb.ReadFile("/etc/hosts")
	w.server.Address, w.server.Names = "10.9.8.7", []string{"db.example.net", "10.9.8.6", "localhost"}
	task := task(t, "hosts_entry", nil)
	w.must(w.client, task, true)
	w.must(w.client, task, false)
	after := w.sb.ReadFile("/etc/hosts")
	if want := before + "# BEGIN pgfleet\n10.9.8.7 db1.example.net db.example.net localhost\n# END pgfleet\n"; after != want {
		t.Errorf("hosts:\n%s\nwant\n%s", after, want)
	}
	if out := w.sb.Shell("getent hosts db.example.net"); !strings.HasPrefix(out, "10.9.8.7 ") {
		t.Error(out)
	}
	w.server.Names = nil
	w.must(w.client, task, true)
	w.server.Address = "db1.example.net" // resolves by itself: nothing is wanted, the block stays for whoever uses it
	w.must(w.client, task, false)
	w.server.Address = "10.9.8.5"
	w.must(w.client, task, true)
	w.sb.WriteFile("/etc/hosts", before+"10.9.8.5 db1.example.net", 0o644)
	w.must(w.client, task, false)
	w.sb.WriteFile("/etc/hosts", before+"10.9.8.4 db1.example.net", 0o644)
	w.must(w.client, task, true)
	w.sb.WriteFile("/etc/hosts", before+"# END pgfleet\n# BEGIN pgfleet\n", 0o644)
	w.refused(w.client, task, "/etc/hosts", "repair")
}
