package tasks

import (
	"strings"
	"testing"
)

var (
	serverCertificate = map[string]any{"issuer": "servers", "profile": "server"}
	serverTrusts      = map[string]any{"authorities": []any{"clients"}}
)

// startPostgres starts the Debian cluster 15/main inside.
func (w *world) startPostgres() {
	w.t.Helper()
	w.sb.Shell(`mkdir -p /var/run/postgresql && chown postgres:postgres /var/run/postgresql && pg_ctlcluster 15 main start`)
}

func TestServerFromNothing(t *testing.T) {
	w := newWorld(t)
	w.startPostgres()
	cert, trust := task(t, "certificate", serverCertificate), task(t, "trust", serverTrusts)
	w.must(w.server, cert, true)
	w.must(w.server, cert, false)
	w.must(w.server, trust, true)
	w.must(w.server, trust, false)
	w.must(w.server, cert, false)
	t.Log(w.sb.Shell("find /etc/pgfleet -printf '%M %u:%g %p\n'; cat /etc/pgfleet/15-main/pgfleet.conf"))
	w.sb.Shell("pg_ctlcluster 15 main restart")
	conf := w.sb.ReadFile("/etc/pgfleet/15-main/pgfleet.conf")
	for _, name := range []string{"ssl_cert_file", "ssl_key_file", "ssl_ca_file", "ssl_crl_file"} {
		if !strings.Contains(conf, name) {
			t.Errorf("no %s in\n%s", name, conf)
		}
	}
}
