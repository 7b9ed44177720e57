package fleet

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// state is a copy of what decides a TLS connection.
type tlsState struct {
	chain     [][]byte
	key       *ecdsa.PrivateKey
	believed  []*x509.Certificate
	lists     []*x509.RevocationList
	withLists bool
}

// offers gives what the server serves; nil: no TLS.
func (p *postgresServer) offers() *tlsState {
	if p.set["ssl"] != "on" {
		return nil
	}
	s := &tlsState{chain: blocks(p.cert, "CERTIFICATE"), withLists: len(p.lists) > 0}
	if len(s.chain) == 0 {
		return nil
	}
	leaf, err := x509.ParseCertificate(s.chain[0])
	if err != nil {
		return nil
	}
	s.key = p.keys[string(leaf.RawSubjectPublicKeyInfo)]
	for _, der := range blocks(p.ca, "CERTIFICATE") {
		if c, err := x509.ParseCertificate(der); err == nil {
			s.believed = append(s.believed, c)
		}
	}
	for _, der := range blocks(p.lists, "X509 CRL") {
		if l, err := x509.ParseRevocationList(der); err == nil {
			s.lists = append(s.lists, l)
		}
	}
	return s
}

func blocks(text []byte, kind string) [][]byte {
	var out [][]byte
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			return out
		}
		if b.Type == kind {
			out = append(out, b.Bytes)
		}
	}
}

// served is what openssl s_client says of a new connection, with its exit code.
func (p *postgresServer) served() string {
	s := p.offers()
	if s == nil {
		return "1\nCONNECTED(00000003)\nserver does not support SSL\n"
	}
	var b strings.Builder
	b.WriteString("0\nCONNECTED(00000003)\n---\nCertificate chain\n")
	for _, der := range s.chain {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	b.WriteString("---\n")
	if len(s.believed) > 0 {
		b.WriteString("Acceptable client certificate CA names\n")
		for _, c := range s.believed {
			b.WriteString(dumped(c.RawSubject) + "\n")
		}
	}
	b.WriteString("---\n")
	return b.String()
}

// dumped writes a name as openssl's -nameopt oid,dump_all,dump_der,sep_comma_plus does.
func dumped(name []byte) string {
	var list []asn1.RawValue
	if _, err := asn1.Unmarshal(name, &list); err != nil {
		return ""
	}
	var out []string
	for _, set := range list {
		var pair struct {
			Type  asn1.ObjectIdentifier
			Value asn1.RawValue
		}
		if _, err := asn1.Unmarshal(set.Bytes, &pair); err == nil {
			out = append(out, fmt.Sprintf("%s=#%X", pair.Type, pair.Value.FullBytes))
		}
	}
	return strings.Join(out, ",")
}

// serveTLS is PostgreSQL's side of a connection up to the end of the TLS handshake: pgfleet's proof goes no further.
func (h *Host) serveTLS(ch io.ReadWriteCloser) {
	defer ch.Close()
	request := make([]byte, 8)
	if _, err := io.ReadFull(ch, request); err != nil {
		return
	}
	h.mu.Lock()
	s := h.postgres.offers()
	h.mu.Unlock()
	if s == nil || s.key == nil {
		_, _ = ch.Write([]byte("N"))
		return
	}
	if _, err := ch.Write([]byte("S")); err != nil {
		return
	}
	conn := tls.Server(channelConn{ch}, s.config(ch))
	if conn.Handshake() == nil {
		_, _ = io.Copy(io.Discard, conn)
	}
}

// Alerts of RFC 8446, 6.2 that crypto/tls does not send where OpenSSL does: the model writes them itself, which TLS 1.2 lets it do in plain text.
var (
	alertRevoked   = []byte{21, 3, 3, 0, 2, 2, 44}
	alertUnknownCA = []byte{21, 3, 3, 0, 2, 2, 48}
)

// config judges a client's certificate as PostgreSQL does: chain and lists first, then, by crypto/tls, the signature that shows possession of the key.
// TLS 1.2 at most (see alertRevoked), where a real server would mostly speak 1.3.
func (s *tlsState) config(ch io.Writer) *tls.Config {
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: s.chain, PrivateKey: s.key}}, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12,
		SessionTicketsDisabled: true}
	if len(s.believed) == 0 {
		return config
	}
	config.ClientAuth, config.ClientCAs = tls.RequestClientCert, x509.NewCertPool()
	for _, c := range s.believed {
		config.ClientCAs.AddCert(c)
	}
	config.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error {
		if len(raw) == 0 {
			return nil
		}
		cert, err := x509.ParseCertificate(raw[0])
		if err != nil {
			return err
		}
		if _, err := cert.Verify(x509.VerifyOptions{Roots: config.ClientCAs, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			_, _ = ch.Write(alertUnknownCA)
			return err
		}
		for _, l := range s.lists {
			for _, e := range l.RevokedCertificateEntries {
				if e.SerialNumber.Cmp(cert.SerialNumber) == 0 {
					_, _ = ch.Write(alertRevoked)
					return errors.New("revoked")
				}
			}
		}
		return nil
	}
	return config
}

// channelConn gives a channel what crypto/tls wants of a connection.
type channelConn struct{ io.ReadWriteCloser }

func (channelConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (channelConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (channelConn) SetDeadline(time.Time) error      { return nil }
func (channelConn) SetReadDeadline(time.Time) error  { return nil }
func (channelConn) SetWriteDeadline(time.Time) error { return nil }
