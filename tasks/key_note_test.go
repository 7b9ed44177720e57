package tasks

import (
	"context"
	"strings"
	"testing"
)

// TestKeyNote: what was noted of a key when it was put in force is taken for it as long as the key's file is the same, and no longer.
func TestKeyNote(t *testing.T) {
	w := newWorld(t)
	w.startPostgres()
	for _, who := range []struct {
		host        *Host
		task        Task
		key, folder string
		looks       int
	}{
		{w.server, task(t, "certificate", serverCertificate), "server.key", "/etc/pgfleet/15-main/v", 2},
		{w.client, task(t, "certificate", clientCertificate), "client.key", "/home/app/.postgresql/pgfleet/dbuser1/v", 1},
	} {
		in := func(script string) string { t.Helper(); return w.sb.Shell("cd " + who.folder + "/* && " + script) }
		w.must(who.host, who.task, true)
		pub := who.key[:len(who.key)-4] + ".pub"
		in("openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt >/tmp/other.key && openssl pkey -in /tmp/other.key -pubout >/tmp/other.pub && cp " + pub + " /tmp/noted")
		if text := in("openssl pkey -in " + who.key + " -pubout | sed \"1i $(stat -c 'key %i:%.9Z' " + who.key + ")\" | cmp - " + pub + " && echo same"); text != "same" {
			t.Errorf("%s: the note is not of the key: %s", who.key, text)
		}
		w.must(who.host, who.task, false)

		// A note that says something else is believed: the key was not opened. One that was cut off, is of another file or time, or a link is none.
		shows := func(what, line string) {
			t.Helper()
			results, err := w.Do(context.Background(), who.task.Needs(who.host)...)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, r := range results {
				n += strings.Count(string(r.Stdout), strings.TrimSpace(line))
			}
			if n != who.looks {
				t.Errorf("%s, %s: %d of %d looks show that public key", who.key, what, n, who.looks)
			}
		}
		in("{ head -n 1 /tmp/noted; cat /tmp/other.pub; } >" + pub)
		other := in("sed -n 3p /tmp/other.pub")
		shows("noted", other)
		own := in("sed -n 4p /tmp/noted")
		for _, note := range []string{
			"{ head -n 1 /tmp/noted; head -n 3 /tmp/other.pub; }", "head -n 1 /tmp/noted", ":", "{ head -n 1 /tmp/noted; cat /tmp/other.pub; echo x; }",
			"{ head -n 1 /tmp/noted; printf %s \"$(cat /tmp/other.pub)\"; }", "{ sed -n '1s/:[0-9]*/:1/p' /tmp/noted; cat /tmp/other.pub; }", "{ sed -n '1s/ [0-9]*:/ 1:/p' /tmp/noted; cat /tmp/other.pub; }",
		} {
			in(note + " >" + pub)
			shows(note, own)
		}
		in("rm " + pub + " && cp /tmp/noted /tmp/link && ln -s /tmp/link " + pub)
		shows("a link", own)

		// Another key in the same file: the note is not of it any more.
		in("rm " + pub + " && cp /tmp/noted " + pub + " && chmod 644 " + pub + " && cat /tmp/other.key >" + who.key)
		shows("another key in it", other)
		w.must(who.host, who.task, true)
		w.must(who.host, who.task, false)
	}
}
