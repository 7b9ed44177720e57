package tasks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgfleet/pgfleet/transport"
)

// throughHost makes a test without psql: pgx here, the connection from the client host, and the client's key signing where it lies.
func (c verifyCase) throughHost(ctx context.Context, via Prober) Cell {
	ctx, cancel := context.WithTimeout(ctx, 2*verifyCaseLimit)
	defer cancel()
	config, err := c.pgxConfig(ctx, via)
	if err != nil {
		cell := c.blank()
		cell.NotProven, cell.Detail, cell.Via = true, err.Error(), "pgx"
		return cell
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		if errors.Is(err, transport.ErrForwarding) {
			cell := c.blank()
			cell.NotProven, cell.Via = true, "pgx"
			cell.Detail = "no psql on this client, and its sshd does not forward connections: install psql or allow forwarding"
			return cell
		}
		return c.cell(classifyGo(err), goText(err), "pgx")
	}
	defer func() { _ = conn.Close(ctx) }()
	var encrypted bool
	var version, serial, user string
	err = conn.QueryRow(ctx, "SELECT s.ssl, coalesce(s.version, ''), coalesce(s.client_serial::text, ''), current_user::text"+
		" FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid()").Scan(&encrypted, &version, &serial, &user)
	if err != nil {
		return c.cell(otherFatal, err.Error(), "pgx")
	}
	flag := "f"
	if encrypted {
		flag = "t"
	}
	return c.cell(connects, strings.Join([]string{flag, version, serial, user}, "|"), "pgx")
}

// param gives one of the test's parameters.
func (c verifyCase) param(name string) string {
	for _, k := range c.params {
		if k.name == name {
			return k.value
		}
	}
	return ""
}

func (c verifyCase) pgxConfig(ctx context.Context, via Prober) (*pgx.ConnConfig, error) {
	port, err := strconv.ParseUint(c.param("port"), 10, 16)
	if err != nil {
		return nil, fmt.Errorf("read port: %w", err)
	}
	config, err := pgx.ParseConfig("sslmode=disable")
	if err != nil {
		return nil, err
	}
	config.Host, config.Port, config.User, config.Database = c.param("host"), uint16(port), c.param("user"), c.param("dbname")
	config.Password, config.Fallbacks = c.password, nil
	config.RuntimeParams = map[string]string{"application_name": "pgfleet"}
	config.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	addr := net.JoinHostPort(config.Host, c.param("port"))
	if a := c.param("hostaddr"); a != "" {
		addr = net.JoinHostPort(a, c.param("port"))
	}
	config.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return via.Dial(ctx, "tcp", addr) }
	if c.param("sslmode") == "disable" {
		config.TLSConfig = nil
		return config, nil
	}
	config.TLSConfig, err = c.tlsConfig(ctx, via)
	return config, err
}

func (c verifyCase) tlsConfig(ctx context.Context, via Prober) (*tls.Config, error) {
	roots := x509.NewCertPool()
	trusted := c.roots
	if c.param("sslrootcert") != c.service.Files.Root {
		trusted = c.chain
	}
	if len(trusted) == 0 {
		return nil, fmt.Errorf("no trusted certificate in %s", c.param("sslrootcert"))
	}
	for _, cert := range trusted {
		roots.AddCert(cert)
	}
	config := &tls.Config{RootCAs: roots, ServerName: c.param("host"), MinVersion: tls.VersionTLS12}
	if c.param("sslmode") == "verify-ca" {
		config.InsecureSkipVerify = true // the name only: the chain is verified below, as libpq's verify-ca does
		config.VerifyConnection = chainOnly(roots)
	}
	if len(c.chain) == 0 || c.param("sslcert") != c.service.Files.Cert {
		return config, nil
	}
	signer, err := transport.NewSigner(ctx, via, c.service.Files.Key, c.service.OSUser, c.chain[0].PublicKey)
	if err != nil {
		return nil, err
	}
	pair := tls.Certificate{PrivateKey: signer, Leaf: c.chain[0]}
	for _, cert := range c.chain {
		pair.Certificate = append(pair.Certificate, cert.Raw)
	}
	// Always sent, as libpq does, so that refusals read alike.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return config, nil
}

// chainOnly verifies the server's chain but not its name.
func chainOnly(roots *x509.CertPool) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		between := x509.NewCertPool()
		for _, cert := range state.PeerCertificates[1:] {
			between.AddCert(cert)
		}
		_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
		return err
	}
}

// classifyGo tells how a connection made with pgx ended.
func classifyGo(err error) outcome {
	var host x509.HostnameError
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg):
		if got := classify(2, goText(err)); got != otherFatal {
			return got
		}
		return classifyCode(pg.Code, pg.Routine)
	case errors.As(err, &host):
		return nameDiffers
	case errors.As(err, new(x509.UnknownAuthorityError)), errors.As(err, new(*tls.CertificateVerificationError)):
		return serverUntrusted
	}
	text := err.Error()
	for _, a := range []struct {
		text string
		is   outcome
	}{{"server refused TLS", noTLS}, {"revoked certificate", certRevoked}, {"expired certificate", certExpired},
		{"unknown certificate authority", caUnknown}, {"unsupported certificate", certUnsupported}, {"remote error: tls", otherAlert}} {
		if strings.Contains(text, a.text) {
			return a.is
		}
	}
	return cannotReach
}

// classifyCode tells by what the protocol carries beside a message why a server refuses: it says the message in its own language (lc_messages), but never the code and the
// function that has given it (PostgreSQL manual, "Error and Notice Message Fields" and appendix A; the functions are those of PostgreSQL 12 to 18).
func classifyCode(code, routine string) outcome {
	switch code + " " + routine {
	case "28000 ClientAuthentication": // so do rules of pg_hba.conf, which its message names
		return certWanted
	case "28000 auth_failed":
		return certAuthFailed
	case "28000 InitializeSessionUserId":
		return roleRefused
	case "42501 InitPostgres":
		return notReplicating
	case "42501 CheckMyDatabase":
		return databaseClosed
	}
	switch code {
	case "28P01":
		return wrongPassword
	case "3D000":
		return databaseMissing
	case "53300":
		return tooMany
	case "57P03":
		return startingUp
	}
	return otherFatal
}

// inCodes asks again why the server refuses, where psql has printed it in a language that is not known here.
func (c verifyCase) inCodes(ctx context.Context, via Prober) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*verifyCaseLimit)
	defer cancel()
	config, err := c.pgxConfig(ctx, via)
	if err != nil {
		return otherFatal, err
	}
	if c.replication {
		config.RuntimeParams["replication"] = "true"
	}
	conn, err := pgconn.ConnectConfig(ctx, &config.Config)
	switch {
	case err == nil:
		_ = conn.Close(ctx)
		return otherFatal, errors.New("the server lets the same login in when it comes through pgfleet")
	case errors.As(err, new(*pgconn.PgError)):
		return classifyGo(err), nil
	}
	return otherFatal, err
}

// goText gives the innermost useful text of a pgx error.
func goText(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return "FATAL:  " + pg.Message
	}
	return err.Error()
}
