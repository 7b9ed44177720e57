package tasks

import (
	"strings"
	"testing"
)

func TestFile(t *testing.T) {
	w := newWorld(t)
	h := w.client
	file := func(values map[string]any) Task { return task(t, "file", values) }
	hello := map[string]any{"path": "/etc/greeting", "content": "hello\n", "mode": "0640", "owner": "root", "group": "postgres"}
	w.must(h, file(hello), true)
	w.must(h, file(hello), false)
	if got := w.sb.Shell("stat -c '%U:%G %a' /etc/greeting; cat /etc/greeting"); got != "root:postgres 640\nhello" {
		t.Error(got)
	}
	w.sb.Shell("chmod 666 /etc/greeting; chown app /etc/greeting")
	w.must(h, file(hello), true)
	w.must(h, file(hello), false)
	change, err := w.check(h, file(map[string]any{"path": "/etc/greeting", "content": "bye\n"}))
	if err != nil || !strings.Contains(change.Diff, "-hello\n+bye\n") {
		t.Fatal(change, err)
	}
	// What is not asked for stays.
	w.must(h, file(map[string]any{"path": "/etc/greeting", "content": "bye\n"}), true)
	if got := w.sb.Shell("stat -c '%U:%G %a' /etc/greeting"); got != "root:postgres 640" {
		t.Error(got)
	}
	secret := map[string]any{"path": "/etc/secret", "content": "hunter2\n", "secret": true}
	change, err = w.check(h, file(secret))
	if err != nil || strings.Contains(change.Diff+change.Summary, "hunter2") {
		t.Fatal(change, err)
	}
	w.must(h, file(secret), true)
	w.must(h, file(secret), false)
	if got := w.sb.Shell("stat -c %a /etc/secret"); got != "600" {
		t.Error(got)
	}
	result, _ := h.View.Get("file:/etc/secret:sum")
	if strings.Contains(string(result.Stdout), "hunter2") || strings.Contains(string(result.Stdout), "aHVudGVyMg") {
		t.Error("the secret was read back")
	}
	gone := map[string]any{"path": "/etc/greeting", "state": "absent"}
	w.must(h, file(gone), true)
	w.must(h, file(gone), false)
	binary := map[string]any{"path": "/etc/bin.dat", "content": "\x00\xff\n"}
	w.must(h, file(binary), true)
	w.must(h, file(binary), false)
}

// Below a folder of another user that user acts, and links do not lead anywhere.
func TestFileActsAsOwner(t *testing.T) {
	w := newWorld(t)
	h := w.client
	in := func(path string) Task { return task(t, "file", map[string]any{"path": path, "content": "x\n"}) }
	w.must(h, in("/home/app/note"), true)
	w.must(h, in("/home/app/note"), false)
	if got := w.sb.Shell("stat -c '%U:%G' /home/app/note"); got != "app:app" {
		t.Error(got)
	}
	w.refused(h, task(t, "file", map[string]any{"path": "/home/app/note", "content": "x\n", "owner": "postgres"}), "/home/app/note", "app")
	w.sb.Shell("echo secret >/root/secret; chmod 600 /root/secret; su app -c 'ln -s /root/secret /home/app/link; ln -s /root /home/app/dir; mkdir -m 777 /home/app/open'; mkdir -m 777 /srv/open; chown postgres /home/app/open")
	w.refused(h, in("/home/app/link"), "symbolic link")
	w.refused(h, in("/home/app/dir/secret"), "/home/app/dir is a symbolic link to /root")
	w.refused(h, in("/home/app/open/x"), "belongs to postgres")
	w.refused(h, in("/srv/open/x"), "others may write in /srv/open")
	if got := w.sb.Shell("cat /root/secret"); got != "secret" {
		t.Error(got)
	}
	w.must(h, task(t, "directory", map[string]any{"path": "/home/app/a/b", "mode": "0750"}), true)
	if got := w.sb.Shell("stat -c '%U %a' /home/app/a /home/app/a/b"); got != "app 755\napp 750" {
		t.Error(got)
	}
}

func TestDirectory(t *testing.T) {
	w := newWorld(t)
	h := w.client
	dir := map[string]any{"path": "/srv/x/y", "owner": "postgres", "group": "postgres", "mode": "0700"}
	w.must(h, task(t, "directory", dir), true)
	w.must(h, task(t, "directory", dir), false)
	w.sb.Shell("chmod 755 /srv/x/y")
	w.must(h, task(t, "directory", dir), true)
	if got := w.sb.Shell("stat -c '%U:%G %a' /srv/x /srv/x/y"); got != "root:root 755\npostgres:postgres 700" {
		t.Error(got)
	}
	gone := task(t, "directory", map[string]any{"path": "/srv/x/y", "state": "absent"})
	w.sb.Shell("touch /srv/x/y/z")
	if _, err := w.run(h, gone); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Error(err)
	}
	w.sb.Shell("rm /srv/x/y/z")
	w.must(h, gone, true)
	w.must(h, gone, false)
	w.sb.Shell("touch /srv/file")
	w.refused(h, task(t, "directory", map[string]any{"path": "/srv/file"}), "not a directory")
}

func TestCommand(t *testing.T) {
	w := newWorld(t)
	h := w.client
	command := func(values map[string]any) Task { return task(t, "command", values) }
	creates := map[string]any{"argv": []any{"touch", "/srv/made by; this"}, "creates": "/srv/made by; this"}
	w.must(h, command(creates), true)
	w.must(h, command(creates), false)
	unless := map[string]any{"argv": []any{"sh", "-c", "echo done >/srv/state"}, "unless": []any{"grep", "-q", "done", "/srv/state"}}
	w.must(h, command(unless), true)
	w.must(h, command(unless), false)
	always := command(map[string]any{"argv": []any{"id"}, "user": "app"})
	w.must(h, always, true)
	w.must(h, always, false) // once a run
	w.refused(h, command(map[string]any{"argv": []any{"id"}, "unless": []any{"no-such-program"}}), "no-such-program", "127")
	_, err := w.run(h, command(map[string]any{"argv": []any{"sh", "-c", "echo what is wrong >&2; exit 3"}, "unless": []any{"false"}}))
	if err == nil || !strings.Contains(err.Error(), "what is wrong") {
		t.Error(err)
	}
}

// Bad values end before any connection.
func TestParametersRefused(t *testing.T) {
	cases := []struct {
		kind   string
		values map[string]any
		word   string
	}{
		{"file", map[string]any{"path": "etc/x"}, "not absolute"},
		{"file", map[string]any{"path": "/etc/../x"}, "without .."},
		{"file", map[string]any{"path": "/x", "mode": "999"}, "octal"},
		{"file", map[string]any{"path": "/x", "mode": "04755"}, "octal"},
		{"file", map[string]any{"path": "/x", "content": "a", "src": "b"}, "cannot be together"},
		{"file", map[string]any{"path": "/x", "src": "/no/such/file"}, "no such file"},
		{"file", map[string]any{"path": "/x", "src": "/dev/zero"}, "/dev/zero has more than 64 MiB"},
		{"file", map[string]any{"path": "/x", "content": "-----BEGIN PRIVATE KEY-----\n"}, "stays on the machine"},
		{"file", map[string]any{"path": "/x", "state": "absent", "content": "a"}, "no content"},
		{"directory", map[string]any{"path": "/"}, "not / itself"},
		{"command", map[string]any{"argv": []any{}}, "names no command"},
		{"command", map[string]any{"argv": []any{"a"}, "creates": "b"}, "not absolute"},
		{"hosts_entry", map[string]any{"entries": map[string]any{"db1": "10.0.0.1"}}, "not an address"},
		{"hosts_entry", map[string]any{"entries": map[string]any{"10.0.0.1": "a/b"}}, "not a host name"},
		{"certificate", map[string]any{"issuer": "a", "profile": "client", "names": []any{"x"}}, "a server's"},
		{"certificate", map[string]any{"issuer": "a", "profile": "client", "tls_dir": "data"}, "own or home"},
		{"certificate", map[string]any{"issuer": "a", "valid_for": "59m"}, "of 1h or more"},
		{"certificate", map[string]any{"issuer": "a", "key_type": "dsa"}, "not one of"},
		{"trust", map[string]any{"authorities": []any{}}, "names none"},
		{"trust", map[string]any{"authorities": []any{"a"}, "profile": "client", "tls_dir": "data"}, "own or home"},
		{"trust", map[string]any{"authorities": []any{"a"}, "profile": "server", "tls_dir": "home"}, "own or data"},
		{"trust", map[string]any{"authorities": []any{"a"}, "only": "repair", "tls_dir": "home"}, "own or data"},
		{"trust", map[string]any{"authorities": []any{"a"}, "file": "ca1.crt"}, "tls_dir: own makes none"},
		{"trust", map[string]any{"authorities": []any{"a"}, "tls_dir": "data", "file": "ca1.pem"}, "ends in .crt"},
		{"trust", map[string]any{"authorities": []any{"a"}, "tls_dir": "data", "file": ".crt"}, "ends in .crt"},
		{"trust", map[string]any{"authorities": []any{"a"}, "tls_dir": "data", "file": "../ca1.crt"}, "a file name"},
		{"trust", map[string]any{"authorities": []any{"a"}, "tls_dir": "home", "file": "-ca 1.crt"}, "a file name"},
		{"trust", map[string]any{"authorities": []any{"a"}, "tls_dir": "data", "file": "server.crt"}, "another file"},
		{"trust", map[string]any{"authorities": []any{"a"}, "tls_dir": "home", "file": "root.crt"}, "another file"},
	}
	for _, c := range cases {
		k, ok := Lookup(c.kind)
		if !ok {
			t.Fatal(c.kind)
		}
		_, errs := Decode(k, c.values)
		found := false
		for _, err := range errs {
			found = found || strings.Contains(err.Error(), c.word)
		}
		if !found {
			t.Errorf("%s %v: %v does not say %q", c.kind, c.values, errs, c.word)
		}
	}
}
