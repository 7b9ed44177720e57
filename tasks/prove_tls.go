package tasks

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"time"
)

// Alerts of TLS (RFC 8446, 6.2) that tell how a server judged a certificate.
const (
	alertRevoked         = 44
	alertDecryptError    = 51
	alertProtocolVersion = 70
)

// errNoTLS is a server that answered the request for TLS with no.
var errNoTLS = errors.New("the server does not offer TLS")

// tlsProbe makes fresh TLS connections to one server.
type tlsProbe struct {
	via  Prober
	addr string
	// curves for the key exchange; nil: the usual ones.
	curves []tls.CurveID
}

// attempt says how a connection is made. MaxVersion 0: any. Chain with Key is shown when the server asks for a certificate; none: nothing is shown.
type attempt struct {
	maxVersion uint16
	chain      [][]byte
	key        crypto.Signer
}

// tlsSeen is what a connection saw.
type tlsSeen struct {
	// asked: the server wanted a certificate.
	asked       bool
	chain       [][]byte
	authorities []string
	version     uint16
}

// alertError is a connection that the server ended with an alert.
type alertError struct {
	code int
	text string
}

// Error gives the alert's text and number.
func (e *alertError) Error() string { return fmt.Sprintf("%s (TLS alert %d)", e.text, e.code) }

// connect asks for TLS as PostgreSQL's protocol does (SSLRequest), shakes hands and waits for the server's verdict on what was shown: with TLS 1.3 that comes after the
// handshake. No login is attempted. With a certificate shown, an error is the outcome that is looked for; nil is a server that asked for none.
func (p *tlsProbe) connect(ctx context.Context, a attempt) (*tlsSeen, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	conn, err := p.via.Dial(ctx, "tcp", p.addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := requestTLS(conn); err != nil {
		return nil, err
	}
	seen := &tlsSeen{}
	client := tls.Client(conn, p.config(a, seen))
	if err := client.HandshakeContext(ctx); err != nil {
		return seen, asAlert(err)
	}
	state := client.ConnectionState()
	seen.version = state.Version
	if len(a.chain) == 0 || !seen.asked {
		return seen, nil
	}
	// Nothing is written here: a server that refuses closes at once, and a write would meet its reset before the alert is read.
	_, err = client.Read(make([]byte, 1))
	return seen, asAlert(err)
}

// requestTLS sends SSLRequest (PostgreSQL manual, 55.7) and reads the one-byte answer.
func requestTLS(conn net.Conn) error {
	request := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 8), 80877103)
	if _, err := conn.Write(request); err != nil {
		return err
	}
	answer := make([]byte, 1)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	if answer[0] != 'S' {
		return errNoTLS
	}
	return nil
}

// config shows the certificate whatever authorities the server asks for. Who the server is, is not decided here: what it presents is compared byte by byte.
func (p *tlsProbe) config(a attempt, seen *tlsSeen) *tls.Config {
	config := &tls.Config{InsecureSkipVerify: true, MaxVersion: a.maxVersion, CurvePreferences: p.curves}
	if a.maxVersion != 0 {
		config.MinVersion = tls.VersionTLS10
	}
	config.VerifyPeerCertificate = func(chain [][]byte, _ [][]*x509.Certificate) error {
		seen.chain = chain
		return nil
	}
	config.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		seen.asked = true
		for _, raw := range r.AcceptableCAs {
			var name pkix.RDNSequence
			if _, err := asn1.Unmarshal(raw, &name); err == nil {
				seen.authorities = append(seen.authorities, name.String())
			}
		}
		return &tls.Certificate{Certificate: a.chain, PrivateKey: a.key}, nil
	}
	return config
}

// asAlert turns the error of a connection that the server ended with an alert into an *alertError.
func asAlert(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		if v := reflect.ValueOf(op.Err); v.Kind() == reflect.Uint8 {
			return &alertError{int(v.Uint()), strings.TrimPrefix(op.Err.Error(), "tls: ")}
		}
	}
	return err
}

// refusesOldTLS sees that TLS 1.1 is refused, unless the settings allow it.
func (p *tlsProbe) refusesOldTLS(c *Cluster) proof {
	return func(ctx context.Context) error {
		lowest := c.upcoming("ssl_min_protocol_version")
		switch lowest {
		case "TLSv1", "TLSv1.1", "":
			return nil
		}
		seen, err := p.connect(ctx, attempt{maxVersion: tls.VersionTLS11})
		var alert *alertError
		switch {
		case err == nil:
			return fmt.Errorf("%s was accepted, although the lowest version is %s", tls.VersionName(seen.version), lowest)
		case errors.As(err, &alert) && alert.code == alertProtocolVersion:
			return nil
		}
		return fmt.Errorf("TLS 1.1 was to be refused as a protocol version, but: %w", err)
	}
}
