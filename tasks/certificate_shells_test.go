package tasks

import (
	"strings"
	"testing"
)

// Every program of ours runs in dash and in BusyBox's shell with BusyBox's own tools.
func TestOtherShells(t *testing.T) {
	for _, shell := range []string{"dash", "busybox sh"} {
		t.Run(shell, func(t *testing.T) {
			w := newWorld(t)
			w.serverSeen(5432)
			w.sb.Shell("command -v busybox && command -v dash")
			w.shell = strings.Fields(shell)
			if shell == "busybox sh" {
				// Nothing of coreutils is found before BusyBox's tools.
				w.sb.Shell("mkdir /opt/bb && busybox --install -s /opt/bb && rm -f /opt/bb/sh")
				w.shell = []string{"env", "PATH=/opt/bb:/usr/bin:/bin", "busybox", "sh"}
			}
			flow := append(append([]flowStep(nil), clientFlow...),
				flowStep{onClient, "hosts_entry", nil},
				flowStep{onClient, "certificate", map[string]any{"issuer": "clients", "tls_dir": "home"}},
				flowStep{onClient, "certificate", map[string]any{"issuer": "clients", "tls_dir": "home", "key_type": "ed25519"}},
				flowStep{onClient, "trust", inHome("servers", "crl", "yes")},
				flowStep{onClient, "file", map[string]any{"path": "/home/app/x", "content": "x\n"}},
				flowStep{onClient, "directory", map[string]any{"path": "/srv/y/z"}},
				flowStep{onClient, "command", map[string]any{"argv": []any{"mkdir", "/srv/q"}, "creates": "/srv/q"}})
			w.server.Address = "10.1.2.3"
			w.client.Identities[0].P12 = true
			for i, f := range flow {
				if changed, err := w.follow(flow[i : i+1]); err != nil || !changed {
					t.Fatalf("%s %v: changed %v, %v", f.kind, f.values, changed, err)
				}
				if changed, err := w.follow(flow[i : i+1]); err != nil || changed {
					t.Fatalf("%s %v again: changed %v, %v", f.kind, f.values, changed, err)
				}
			}
			w.clientWhole(shell)
			if out := w.sb.Shell("cd /home/app/.postgresql/pgfleet/dbuser1; openssl pkcs12 -in client.p12 -passin file:client.p12.password -nokeys; stat -c '%U %a %n' client.p12*"); strings.Count(out, "BEGIN CERTIFICATE") != 3 ||
				!strings.Contains(out, "friendlyName: user\n") || !strings.HasSuffix(out, "app 600 client.p12\napp 600 client.p12.password") {
				t.Error(out)
			}
		})
	}
}

func TestKeyTypes(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5432)
	for _, kind := range []string{"ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072", "ed25519"} {
		w.emptyClient()
		cert := task(t, "certificate", map[string]any{"issuer": "clients", "key_type": kind})
		w.must(w.client, cert, true)
		w.must(w.client, cert, false)
		if got := w.sb.Shell("head -n 1 /home/app/.postgresql/pgfleet/dbuser1/v/*/client.key"); got != "-----BEGIN PRIVATE KEY-----" {
			t.Errorf("%s: %s", kind, got)
		}
	}
}

// An OpenSSL whose req cannot make such a key (1.0.2 and EC with options) is asked in two steps.
func TestOlderOpenSSL(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5432)
	w.sb.WriteFile("/usr/local/bin/openssl", `#!/bin/sh
case " $* " in *" -newkey "*) touch /tmp/asked; echo "unknown option -newkey" >&2; exit 1 ;; esac
exec /usr/bin/openssl "$@"
`, 0o755)
	cert := task(t, "certificate", clientCertificate)
	w.must(w.client, cert, true)
	w.must(w.client, cert, false)
	if got := w.sb.Shell("ls /tmp/asked; head -n 1 /home/app/.postgresql/pgfleet/dbuser1/v/*/client.key"); got != "/tmp/asked\n-----BEGIN PRIVATE KEY-----" {
		t.Error(got)
	}
}
