package fleet

import (
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	pg "github.com/pgfleet/pgfleet/tasks/postgres"
)

// verify answers tests as psql would print their outcome, from the files of the client and the state of the server.
func (h *Host) verify(s *step) reply {
	lines := strings.Split(string(s.stdin), "\n")
	testers := h.uses.testers.Add(1)
	defer h.uses.testers.Add(-1)
	h.fleet.counters.add(func(c *Counts) { c.MostTesters = max(c.MostTesters, int(testers)) })
	time.Sleep(h.fleet.opt.TestTime)
	var b strings.Builder
	for len(lines) > 3 {
		if lines[0] == "" { // waits for the tests above
			lines = lines[1:]
			continue
		}
		text := h.login(conninfo(lines[1]))
		code := 0
		if strings.HasPrefix(text, "psql: ") {
			code = 2
		}
		fmt.Fprintf(&b, "%s %d %d\n%s\n", lines[0], code, len(text), text)
		h.fleet.counters.add(func(c *Counts) { c.Tests++ })
		lines = lines[3:]
	}
	return said(b.String())
}

// sources says that connections to servers, which psql has named by their addresses, come from this host's only one.
func (h *Host) sources(s *step) reply {
	var b strings.Builder
	for _, to := range s.argv() {
		fmt.Fprintf(&b, "server %s %s\n", to, to)
	}
	for _, to := range s.argv() {
		fmt.Fprintf(&b, "%s dev eth0 src %s uid 0 \\    cache \n", to, h.address)
	}
	return said(b.String())
}

// conninfo reads "name='value' …".
func conninfo(text string) map[string]string {
	out := map[string]string{}
	for _, pair := range strings.Split(text, "' ") {
		name, value, _ := strings.Cut(pair, "='")
		out[name] = strings.TrimSuffix(value, "'")
	}
	return out
}

// login is one connection. What is locked here is the server; h itself is locked already, and is never a server.
func (h *Host) login(with map[string]string) string {
	server := h.uses
	server.mu.Lock()
	state, hba := server.postgres.offers(), server.postgres.hba
	roles := server.postgres.roles
	server.mu.Unlock()
	stage, _ := pg.StageOf(hba)
	enforced := stage != "permissive"
	refused := func(why string) string {
		return fmt.Sprintf("psql: error: connection to server at %q (%s), port 5432 failed: %s", with["host"], server.address, why)
	}
	if with["sslmode"] == "disable" {
		if enforced {
			return refused("FATAL:  pg_hba.conf rejects connection for host, user, database, no encryption")
		}
		return "f|||" + with["user"]
	}
	if state == nil {
		return refused("server does not support SSL, but SSL was required")
	}
	if wrong := h.believes(with, state); wrong != "" {
		return refused(wrong)
	}
	shown := blocks(h.disk.text(with["sslcert"]), "CERTIFICATE")
	switch {
	case !enforced:
		return refused("fe_sendauth: no password supplied")
	case len(shown) == 0:
		return refused("FATAL:  connection requires a valid client certificate")
	case with["user"] != "orders":
		return refused("FATAL:  certificate authentication failed for user \"" + with["user"] + "\"")
	case !has(roles, with["user"]):
		return refused("FATAL:  role \"" + with["user"] + "\" does not exist")
	}
	leaf, err := x509.ParseCertificate(shown[0])
	if err != nil {
		return refused(err.Error())
	}
	return "t|TLSv1.3|" + leaf.SerialNumber.String() + "|" + with["user"]
}

// believes checks the server's chain and name as libpq does; "" when they are good.
func (h *Host) believes(with map[string]string, state *tlsState) string {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, der := range blocks(h.disk.text(with["sslrootcert"]), "CERTIFICATE") {
		if c, err := x509.ParseCertificate(der); err == nil && string(c.RawSubject) == string(c.RawIssuer) {
			roots.AddCert(c)
		} else if err == nil {
			between.AddCert(c)
		}
	}
	for _, der := range state.chain[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(c)
		}
	}
	leaf, err := x509.ParseCertificate(state.chain[0])
	if err == nil {
		_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
	}
	switch {
	case err != nil:
		return "SSL error: certificate verify failed"
	case with["sslmode"] == "verify-full" && leaf.VerifyHostname(with["host"]) != nil:
		return "server certificate for \"" + leaf.Subject.CommonName + "\" does not match host name \"" + with["host"] + "\""
	}
	return ""
}
