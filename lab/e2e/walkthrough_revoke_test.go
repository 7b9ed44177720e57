package e2e_test

import (
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/lab/labtest"
)

// revokeClient has dbuser1's certificate refused by the server, then has a new one made from the same key (W22 to W26).
func (w *walk) revokeClient(t *testing.T) {
	before := w.pair(t, "app1")
	number := w.openssl(t, "ca1", "crl", "-noout", "-crlnumber", "-in", caDir("clients")+"/crl/ca.crl")
	w.revoke(t, "--name", "dbuser1", "--reason", "superseded")
	serial := strings.TrimSpace(strings.TrimPrefix(before.serial, "serial="))
	t.Run("W22 on record", func(t *testing.T) { w.recorded(t, "ca1", "clients", serial) })
	t.Run("W23 listed", func(t *testing.T) { w.listed(t, "ca1", "clients", serial, number) })
	t.Run("W24 installed and in force", func(t *testing.T) {
		file := w.setting(t, "ssl_crl_file")
		if w.home {
			w.expectModes(t, "db1", map[string]string{serverLists: "postgres:postgres 600"})
			if file != serverLists {
				t.Errorf("ssl_crl_file is %s", file)
			}
		}
		if got, want := labtest.Exec(t, w.lab, "db1", "cat", file), labtest.Exec(t, w.lab, "ca1", "cat", caDir("clients")+"/crl/ca.crl"); got != want {
			t.Errorf("%s is not the authority's list", file)
		}
	})
	w.logins(t, "revoked-client")
	w.apply(t)
	t.Run("W26 a new certificate from the same key", func(t *testing.T) { w.replaced(t, "app1", before) })
	w.logins(t, "cert")
}

// revokeServer has the server's certificate refused by the client, then has a new one made from the same key (W27 to W31).
func (w *walk) revokeServer(t *testing.T) {
	before := w.pair(t, "db1")
	number := w.openssl(t, "ca3", "crl", "-noout", "-crlnumber", "-in", caDir("servers")+"/crl/ca.crl")
	w.revoke(t, "--host", "db1", "--reason", "cessationOfOperation")
	serial := strings.TrimSpace(strings.TrimPrefix(before.serial, "serial="))
	t.Run("W27 on record at the intermediate, and listed", func(t *testing.T) {
		w.recorded(t, "ca3", "servers", serial)
		w.listed(t, "ca3", "servers", serial, number)
	})
	t.Run("W28 both lists in one file, the intermediate's first", func(t *testing.T) {
		file := clientLists
		if !w.home {
			file = strings.TrimSpace(labtest.Exec(t, w.lab, "app1", "sed", "-n", "/^\\[dbuser1@db1\\]$/,/^\\[\\|^#/s/^sslcrl=//p", home+"/.pg_service.conf"))
		}
		w.expectModes(t, "app1", map[string]string{file: "postgres:postgres 600"})
		issuers := labtest.Exec(t, w.lab, "app1", "sh", "-c", `awk '/BEGIN/{n++} {print > "/tmp/list" n}' "$0"; for f in /tmp/list1 /tmp/list2; do openssl crl -in $f -noout -issuer; done
chmod 644 /tmp/list*; ls /tmp/list* | wc -l`, file)
		if issuers != "issuer=CN = intermediate.example.net\nissuer=CN = root-ca2\n2" {
			t.Errorf("%s holds\n%s", file, issuers)
		}
	})
	w.logins(t, "revoked-server")
	w.apply(t)
	t.Run("W30 a new certificate from the same key", func(t *testing.T) {
		w.replaced(t, "db1", before)
		if served, file := w.served(t), w.pair(t, "db1"); served.serial != file.serial {
			t.Errorf("served is %s, the file has %s", served.serial, file.serial)
		}
	})
	w.logins(t, "cert")
	w.logins(t, "lists")
}

// revoke runs the command; it has to end well.
func (w *walk) revoke(t *testing.T, args ...string) {
	t.Helper()
	if code, out := w.run(t, append([]string{"revoke", "-y"}, args...)...); code != 0 {
		t.Fatalf("exit %d:\n%s", code, out)
	}
}

// recorded sees a serial number in the database of "openssl ca".
func (w *walk) recorded(t *testing.T, host, authority, serial string) {
	t.Helper()
	index := labtest.Exec(t, w.lab, host, "cat", caDir(authority)+"/index.txt")
	for line := range strings.Lines(index) {
		if f := strings.Split(strings.TrimSuffix(line, "\n"), "\t"); len(f) == 6 && f[3] == serial {
			if f[0] != "R" || f[2] == "" {
				t.Errorf("%s is not revoked: %s", serial, line)
			}
			return
		}
	}
	t.Errorf("no %s in\n%s", serial, index)
}

// listed sees a serial number in an authority's list, which has a higher number than before, and dates.
func (w *walk) listed(t *testing.T, host, authority, serial, before string) {
	t.Helper()
	text := w.openssl(t, host, "crl", "-noout", "-text", "-crlnumber", "-in", caDir(authority)+"/crl/ca.crl", "-CAfile", caDir(authority)+"/certs/ca.crt")
	for _, part := range []string{"Serial Number: " + serial, "Last Update: ", "Next Update: "} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
	if now := w.openssl(t, host, "crl", "-noout", "-crlnumber", "-in", caDir(authority)+"/crl/ca.crl"); len(now) < len(before) || len(now) == len(before) && now <= before {
		t.Errorf("%s after %s", now, before)
	}
}

// replaced sees that a host has another certificate for the same key.
func (w *walk) replaced(t *testing.T, host string, before certificate) {
	t.Helper()
	if after := w.pair(t, host); after.serial == before.serial || after.key != before.key || after.keyFile != before.keyFile {
		t.Errorf("before %v, after %v: want another serial number, the same key, the same bytes of the key's file", before, after)
	}
}
