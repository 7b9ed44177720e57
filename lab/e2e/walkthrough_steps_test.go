package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/lab/labtest"
)

// caDir is where an authority lives on its host.
func caDir(name string) string { return "/etc/pgfleet/ca/" + name }

// home is the application's home directory on the client.
const home = "/var/lib/postgresql"

// dataDir is the server's.
const dataDir = "/var/lib/postgresql/15/main"

// The article's places.
const (
	serverRoots, serverLists = dataDir + "/ca1.crt", dataDir + "/ca1.crl"

	clientCert  = home + "/.postgresql/client.crt"
	clientKey   = home + "/.postgresql/client.key"
	clientRoots = home + "/.postgresql/ca2_int.crt"
	clientLists = home + "/.postgresql/ca2_int.crl"
)

// authorities makes the three authorities and looks at them.
func (w *walk) authorities(t *testing.T) {
	w.apply(t, "-t", "authorities")
	t.Run("W1 root CA 1", func(t *testing.T) { w.root(t, "ca1", "clients", "root-ca1") })
	t.Run("W2 root CA 2", func(t *testing.T) { w.root(t, "ca2", "servers_root", "root-ca2") })
	t.Run("W3 the intermediate", w.intermediate)
}

// root looks at a self-signed authority: closed folders, its own subject and signature, ten years.
func (w *walk) root(t *testing.T, host, name, cn string) {
	dir := caDir(name)
	w.expectModes(t, host, map[string]string{dir: "root:root 700", dir + "/keys": "root:root 700", dir + "/certs": "root:root 700",
		dir + "/keys/ca.key": "root:root 600", dir + "/certs/ca.crt": "root:root 600"})
	crt := dir + "/certs/ca.crt"
	if got := w.openssl(t, host, "x509", "-noout", "-subject", "-issuer", "-in", crt); got != "subject=CN = "+cn+"\nissuer=CN = "+cn {
		t.Errorf("certificate: %s", got)
	}
	w.openssl(t, host, "verify", "-x509_strict", "-CAfile", crt, crt)
	w.expectLife(t, host, crt, 3650)
	w.expectPair(t, host, dir+"/keys/ca.key", crt)
}

// intermediate looks at the authority that another one signed as a CA, five years.
func (w *walk) intermediate(t *testing.T) {
	dir := caDir("servers")
	crt := dir + "/certs/ca.crt"
	if got := w.openssl(t, "ca3", "x509", "-noout", "-subject", "-issuer", "-in", crt); got != "subject=CN = intermediate.example.net\nissuer=CN = root-ca2" {
		t.Errorf("certificate: %s", got)
	}
	root := labtest.Exec(t, w.lab, "ca2", "cat", caDir("servers_root")+"/certs/ca.crt")
	labtest.Feed(t, w.lab, "ca3", root, "openssl", "verify", "-x509_strict", "-CAfile", "/dev/stdin", crt)
	if got := w.openssl(t, "ca3", "x509", "-noout", "-ext", "basicConstraints,keyUsage", "-in", crt); !strings.Contains(got, "CA:TRUE") || !strings.Contains(got, "Certificate Sign, CRL Sign") {
		t.Errorf("not a CA: %s", got)
	}
	w.expectLife(t, "ca3", crt, 1825)
	w.expectPair(t, "ca3", dir+"/keys/ca.key", crt)
}

// server gives the server its key, certificate and TLS.
func (w *walk) server(t *testing.T) {
	w.apply(t, "-t", "server")
	t.Run("W4 key and certificate", func(t *testing.T) {
		p := w.pair(t, "db1")
		if w.home {
			w.expectModes(t, "db1", map[string]string{dataDir + "/server.key": "postgres:postgres 600", dataDir + "/server.crt": "postgres:postgres 600"})
		} else {
			w.expectModes(t, "db1", map[string]string{p.keyPath: "root:postgres 640", p.path: "root:root 644"})
		}
		w.expectPair(t, "db1", p.keyPath, p.path)
		w.expectLife(t, "db1", p.path, 365)
		if got := w.openssl(t, "db1", "x509", "-noout", "-subject", "-issuer", "-ext", "subjectAltName,extendedKeyUsage", "-in", p.path); !strings.HasPrefix(got, "subject=CN = db1.example.net\nissuer=CN = intermediate.example.net\n") ||
			strings.Contains(got, "IP Address") || !strings.Contains(got, "DNS:db1.example.net") || !strings.Contains(got, "TLS Web Server Authentication") {
			t.Errorf("certificate: %s", got)
		}
	})
	t.Run("W8 settings", func(t *testing.T) {
		p := w.pair(t, "db1")
		want := map[string]string{"ssl": "on", "ssl_min_protocol_version": "TLSv1.2", "ssl_cert_file": p.path, "ssl_key_file": p.keyPath}
		if w.home {
			want["ssl_cert_file"], want["ssl_key_file"] = dataDir+"/server.crt", dataDir+"/server.key"
		}
		for name, value := range want {
			if got := w.setting(t, name); got != value {
				t.Errorf("%s is %s, want %s", name, got, value)
			}
		}
		if served := w.served(t); served.serial != p.serial {
			t.Errorf("served is serial number %s, the file has %s", served.serial, p.serial)
		}
	})
}

// client gives the client names, trust, key and certificate.
func (w *walk) client(t *testing.T) {
	// A client proves that it reaches its servers before it counts as done: the name does not resolve yet, and that is what it says.
	code, out := w.run(t, "run", w.playbook(), "-t", "client")
	if code != 3 || !strings.Contains(out, "name does not resolve") {
		t.Fatalf("exit %d, want 3 and the name that does not resolve:\n%s", code, out)
	}
	t.Run("W5 key and certificate", func(t *testing.T) {
		p := w.pair(t, "app1")
		if w.home && (p.path != clientCert || p.keyPath != clientKey) {
			t.Errorf("services name %s and %s", p.path, p.keyPath)
		}
		w.expectModes(t, "app1", map[string]string{p.keyPath: "postgres:postgres 600", p.path: "postgres:postgres 600", home + "/.postgresql": "postgres:postgres 700"})
		w.expectPair(t, "app1", p.keyPath, p.path)
		w.expectLife(t, "app1", p.path, 365)
		got := w.openssl(t, "app1", "x509", "-noout", "-subject", "-issuer", "-ext", "extendedKeyUsage", "-in", p.path)
		if !strings.HasPrefix(got, "subject=CN = dbuser1\nissuer=CN = root-ca1\n") || !strings.Contains(got, "TLS Web Client Authentication") {
			t.Errorf("certificate: %s", got)
		}
	})
	t.Run("W7 the client's roots: root, then intermediate", func(t *testing.T) {
		path := home + "/.postgresql/pgfleet/dbuser1/root.crt"
		if w.home {
			path = clientRoots
			names := labtest.Exec(t, w.lab, "app1", "grep", "-c", "^sslrootcert="+path+"$", home+"/.pg_service.conf")
			variable := labtest.Exec(t, w.lab, "app1", "grep", "^PGSSLROOTCERT=", home+"/.postgresql/pgfleet/dbuser1/pgfleet.env")
			if names != "1" || variable != "PGSSLROOTCERT='"+path+"'" {
				t.Errorf("%s services name %s; pgfleet.env: %s", names, path, variable)
			}
		}
		w.expectModes(t, "app1", map[string]string{path: "postgres:postgres 600"})
		want := labtest.Exec(t, w.lab, "ca2", "cat", caDir("servers_root")+"/certs/ca.crt") + "\n" + labtest.Exec(t, w.lab, "ca3", "cat", caDir("servers")+"/certs/ca.crt")
		if got := labtest.Exec(t, w.lab, "app1", "cat", path); got != want {
			t.Errorf("%s is\n%s\nwant\n%s", path, got, want)
		}
		served := labtest.Exec(t, w.lab, "db1", "cat", w.pair(t, "db1").path)
		labtest.Feed(t, w.lab, "app1", served, "openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", path, "/dev/stdin")
	})
}

// roles sees both roles with a login and a SCRAM verifier.
func (w *walk) roles(t *testing.T) {
	got := w.sql(t, "select rolname, rolcanlogin, rolsuper, left(rolpassword, 14) from pg_authid where rolname in ('digoal', 'dbuser1') order by 1")
	if want := "dbuser1|t|f|SCRAM-SHA-256$\ndigoal|t|f|SCRAM-SHA-256$"; got != want {
		t.Errorf("roles:\n%s\nwant\n%s", got, want)
	}
}

// rules looks at pg_hba.conf: pgfleet's block first, the user's own bytes after it (W33), and the CA and its list for clients (W7, W8).
func (w *walk) rules(t *testing.T) {
	text := labtest.Exec(t, w.lab, "db1", "cat", "/etc/postgresql/15/main/pg_hba.conf")
	_, own, found := strings.Cut(text, "# END pgfleet\n")
	if !found || !strings.HasPrefix(text, "# BEGIN pgfleet") || own != w.hba {
		t.Errorf("pg_hba.conf is not a block of pgfleet and then the server's own lines:\n%s", text)
	}
	first := w.sql(t, "select type, database, user_name, address, auth_method from pg_hba_file_rules where address = '0.0.0.0' and type like 'host%ssl' order by line_number limit 1")
	if first != "hostnossl|{all}|{all}|0.0.0.0|reject" {
		t.Errorf("the first rule for all addresses: %s", first)
	}
	if broken := w.sql(t, "select * from pg_hba_file_rules where error is not null or type is null"); broken != "" {
		t.Errorf("broken rules: %s", broken)
	}
	if w.home {
		w.expectModes(t, "db1", map[string]string{serverRoots: "postgres:postgres 600", serverLists: "postgres:postgres 600"})
		if roots, lists := w.setting(t, "ssl_ca_file"), w.setting(t, "ssl_crl_file"); roots != serverRoots || lists != serverLists {
			t.Errorf("ssl_ca_file is %s, ssl_crl_file is %s", roots, lists)
		}
	}
	ca := labtest.Exec(t, w.lab, "ca1", "cat", caDir("clients")+"/certs/ca.crt")
	if got := labtest.Exec(t, w.lab, "db1", "cat", w.setting(t, "ssl_ca_file")); got != ca {
		t.Errorf("ssl_ca_file holds\n%s\nwant\n%s", got, ca)
	}
	crl := labtest.Exec(t, w.lab, "db1", "cat", w.setting(t, "ssl_crl_file"))
	labtest.Feed(t, w.lab, "ca1", crl, "openssl", "crl", "-noout", "-CAfile", caDir("clients")+"/certs/ca.crt", "-in", "/dev/stdin")
}

// keysStayed looks for private keys on every host: each is where it was made, and nowhere else.
func (w *walk) keysStayed(t *testing.T) {
	want := map[string]int{"ca1": 1, "ca2": 1, "ca3": 1}
	seen := map[string]string{}
	for _, h := range w.lab.Hosts() {
		found := labtest.Exec(t, w.lab, h.Short, "sh", "-c", `grep -rlsI --exclude-dir=ssl -e '-----BEGIN.* PRIVATE KEY-----' /etc/pgfleet /etc/postgresql /var/lib/postgresql /home /root /tmp /var/tmp /run | sort`)
		for _, path := range strings.Fields(found) {
			public := w.openssl(t, h.Short, "pkey", "-pubout", "-in", path)
			if other := seen[public]; other != "" && other != h.Short {
				t.Errorf("the key %s of %s is on %s too", path, h.Short, other)
			}
			seen[public] = h.Short
		}
		if n := want[h.Short]; n > 0 && len(strings.Fields(found)) != n {
			t.Errorf("keys on %s:\n%s", h.Short, found)
		}
	}
	// Three authorities, the server, and each database user.
	if users := 2 - btoi(w.home); len(seen) != 4+users {
		t.Errorf("%d different keys, want %d", len(seen), 4+users)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// ownRules sees that the superuser gets in over the local socket as before, and that the server starts again with what is on its disk.
func (w *walk) ownRules(t *testing.T) {
	if got := w.sql(t, "select current_user"); got != "postgres" {
		t.Errorf("current_user is %s", got)
	}
	if err := w.lab.Stop(t.Context(), "db1"); err != nil {
		t.Fatal(err)
	}
	if err := w.lab.Start(t.Context(), "db1"); err != nil {
		t.Fatal(err)
	}
	w.logins(t, "cert")
}

// expectLife compares a certificate's end with days from now, to the hour.
func (w *walk) expectLife(t *testing.T, host, path string, days int) {
	t.Helper()
	text := strings.TrimPrefix(w.openssl(t, host, "x509", "-noout", "-enddate", "-in", path), "notAfter=")
	end, err := time.Parse("Jan _2 15:04:05 2006 MST", text)
	if err != nil {
		t.Fatal(err)
	}
	if want := time.Now().AddDate(0, 0, days); end.Sub(want).Abs() > time.Hour {
		t.Errorf("%s on %s ends %s, want %s", path, host, end, want)
	}
}

// expectModes compares owners and modes.
func (w *walk) expectModes(t *testing.T, host string, want map[string]string) {
	t.Helper()
	for path, mode := range want {
		if got := labtest.Exec(t, w.lab, host, "stat", "-c", "%U:%G %a", path); got != mode {
			t.Errorf("%s on %s is %s, want %s", path, host, got, mode)
		}
	}
}

// expectPair sees that key and certificate belong together and that the key is sound.
func (w *walk) expectPair(t *testing.T, host, key, crt string) {
	t.Helper()
	public := w.openssl(t, host, "pkey", "-check", "-noout", "-in", key)
	if !strings.Contains(public, "Key is valid") {
		t.Errorf("%s on %s: %s", key, host, public)
	}
	if a, b := w.openssl(t, host, "pkey", "-pubout", "-in", key), w.openssl(t, host, "x509", "-noout", "-pubkey", "-in", crt); a != b {
		t.Errorf("%s and %s on %s do not belong together", key, crt, host)
	}
}

func (w *walk) openssl(t *testing.T, host string, args ...string) string {
	t.Helper()
	return labtest.Exec(t, w.lab, host, append([]string{"openssl"}, args...)...)
}

// certificate is what tells one from another.
type certificate struct {
	path, keyPath string
	// serial number and public key; keyFile is a digest of the key's file.
	serial, key, keyFile string
}

// String leaves out what is long.
func (c certificate) String() string {
	return fmt.Sprintf("%s serial %s, key %.60q", c.path, c.serial, c.key)
}

// pair reads the certificate that a host uses: the server's by its settings, the client's by dbuser1's service.
func (w *walk) pair(t *testing.T, host string) certificate {
	t.Helper()
	var c certificate
	if host == "db1" {
		c.path, c.keyPath = w.setting(t, "ssl_cert_file"), w.setting(t, "ssl_key_file")
	} else {
		service := labtest.Exec(t, w.lab, host, "sed", "-n", `/^\[dbuser1@db1\]$/,/^\[\|^#/{s/^sslcert=//p;s/^sslkey=//p;}`, home+"/.pg_service.conf")
		paths := strings.Fields(service)
		if len(paths) != 2 {
			t.Fatalf("the service names %q", service)
		}
		c.path, c.keyPath = paths[0], paths[1]
	}
	c.serial = w.openssl(t, host, "x509", "-noout", "-serial", "-in", c.path)
	c.key = w.openssl(t, host, "x509", "-noout", "-pubkey", "-in", c.path)
	c.keyFile, _, _ = strings.Cut(labtest.Exec(t, w.lab, host, "sha256sum", c.keyPath), " ")
	return c
}

// served reads the certificate that the server presents to a new connection.
func (w *walk) served(t *testing.T) certificate {
	t.Helper()
	text := labtest.Exec(t, w.lab, "app1", "sh", "-c", "openssl s_client -starttls postgres -connect $0:5432 </dev/null 2>/dev/null | openssl x509", w.addr)
	return certificate{path: "served", serial: labtest.Feed(t, w.lab, "app1", text, "openssl", "x509", "-noout", "-serial"),
		key: labtest.Feed(t, w.lab, "app1", text, "openssl", "x509", "-noout", "-pubkey")}
}
