package tasks

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"
)

// In a folder like /tmp what was looked at can be a link by the time when it is changed.
func TestExchangedForALink(t *testing.T) {
	w := newWorld(t)
	h := w.client
	w.sb.Shell(`chmod 1777 /tmp; mkdir -m 755 /srv/precious; echo x >/srv/precious/file; chmod 600 /srv/precious/file
		runuser -u app -- sh -c 'mkdir -m 777 /tmp/d; echo hello >/tmp/f'`)
	before := w.sb.Shell("stat -c '%n %U:%G %a' /srv/precious /srv/precious/file")
	for kind, values := range map[string]map[string]any{
		"directory": {"path": "/tmp/d", "mode": "0701"},
		"file":      {"path": "/tmp/f", "mode": "0604", "content": "hello\n"},
	} {
		change, err := w.check(h, task(t, kind, values))
		if err != nil || change == nil {
			t.Fatal(kind, change, err)
		}
		w.sb.Shell(`runuser -u app -- sh -c 'rm -rf /tmp/d /tmp/f; ln -s /srv/precious /tmp/d; ln -s /srv/precious/file /tmp/f'`)
		steps, err := change.Apply(context.Background(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.sb.Conn.Do(context.Background(), steps...); err != nil {
			t.Fatal(err)
		}
		if after := w.sb.Shell("stat -c '%n %U:%G %a' /srv/precious /srv/precious/file"); after != before {
			t.Errorf("%s: %s became %s", kind, before, after)
		}
		w.sb.Shell(`rm -rf /tmp/d /tmp/f; runuser -u app -- sh -c 'mkdir -m 777 /tmp/d; echo hello >/tmp/f'`)
	}
}

// Who acts is told by root before whoever that is can say a word.
func TestSecondActor(t *testing.T) {
	if l, err := parseLook([]byte("actor app\nsum 00\ndone\n")); err != nil || l.Actor != "app" {
		t.Error(l, err)
	}
	if _, err := parseLook([]byte("actor app\nactor \nsum 00\ndone\n")); err == nil {
		t.Error("a second actor was believed")
	}
}

// What its owner alone may read does not travel, and is not printed.
func TestPrivateFilesAreNotShown(t *testing.T) {
	w := newWorld(t)
	h := w.client
	w.sb.Shell("runuser -u app -- sh -c 'umask 077; echo db:5432:x:app:hunter2 >/home/app/.pgpass'")
	change, err := w.check(h, task(t, "file", map[string]any{"path": "/home/app/.pgpass", "content": "new\n"}))
	if err != nil || change == nil || strings.Contains(change.Diff, "hunter2") {
		t.Fatal(change, err)
	}
	result, err := h.View.Get("file:/home/app/.pgpass:text")
	if secret := base64.StdEncoding.EncodeToString([]byte("db:5432:x:app:hunter2\n")); err != nil || strings.Contains(string(result.Stdout), secret) {
		t.Errorf("%v %s", err, result.Stdout)
	}
	kind, _ := Lookup("file")
	for _, bad := range []map[string]any{{"owner": "-x"}, {"group": "a:b"}, {"owner": "a b"}} {
		bad["path"] = "/etc/x"
		if _, errs := Decode(kind, bad); len(errs) == 0 {
			t.Errorf("%v was taken", bad)
		}
	}
}
