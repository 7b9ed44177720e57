package tasks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/transport"
)

// fakeServer is a PostgreSQL as far as TLS goes; without a config it offers none.
type fakeServer struct {
	t      *testing.T
	config *tls.Config
}

// Do is not called.
func (s *fakeServer) Do(context.Context, ...transport.Step) ([]transport.Result, error) {
	s.t.Error("the host was asked for something")
	return nil, nil
}

// Dial gives a connection to the server.
func (s *fakeServer) Dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	go func() {
		defer there.Close()
		if _, err := io.ReadFull(there, make([]byte, 8)); err != nil {
			return
		}
		if s.config == nil {
			_, _ = there.Write([]byte("N"))
			return
		}
		if _, err := there.Write([]byte("S")); err != nil {
			return
		}
		conn := tls.Server(there, s.config)
		_, _ = io.Copy(io.Discard, conn)
	}()
	return here, nil
}

// A server whose OpenSSL allows nothing of the kind (SECLEVEL=3 and PostgreSQL's own DH parameters) goes on without TLS, and says why in its log alone.
func TestProofWithoutTLS(t *testing.T) {
	p := &tlsProbe{via: &fakeServer{t, nil}, addr: "127.0.0.1:5432"}
	if err := p.servesFiles(&Cluster{})(t.Context()); err == nil || !strings.Contains(err.Error(), "its log says why") {
		t.Error(err)
	}
}

// What a server does not do that PostgreSQL could be made to do only by breaking it: it still takes TLS 1.1, presents its certificate without the authority above it,
// another certificate, or asks for certificates of others. Each is no proof, also where the server has proved itself with other files before.
func TestProofOfAServer(t *testing.T) {
	root, clients := newTestCA(t, "servers"), newTestCA(t, "clients")
	key, subKey := newKey(t), newKey(t)
	sub := root.sign(t, &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "intermediate"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, &subKey.PublicKey)
	below := &testCA{name: "intermediate", key: subKey, cert: sub}
	leaf := func(serial int64) *x509.Certificate {
		return below.sign(t, &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "db1"}, DNSNames: []string{"db1"}}, &key.PublicKey)
	}
	first, second := leaf(8), leaf(9)
	pem := func(certs ...*x509.Certificate) HostFile {
		text := ""
		for _, c := range certs {
			text += pemText("CERTIFICATE", c.Raw)
		}
		return HostFile{Bytes: []byte(text)}
	}
	host := &Host{Name: "db1", View: &View{}, Fleet: &Fleet{Proofs: &Proofs{}}}
	on := func(lowest string, leaf *x509.Certificate) *Cluster {
		return &Cluster{ID: "15/main", Running: true, ListenAddresses: "*", Port: 5432,
			Settings: map[string]Setting{"ssl": {Value: "on"}, "ssl_cert_file": {Value: "/server.crt"}, "ssl_ca_file": {Value: "/ca.crt"}, "ssl_min_protocol_version": {Value: lowest}},
			Files:    map[string]HostFile{"/server.crt": pem(leaf, sub), "/ca.crt": pem(clients.cert)}}
	}
	serves := func(lowest uint16, asks *x509.Certificate, chain ...*x509.Certificate) *fakeServer {
		pool := x509.NewCertPool()
		pool.AddCert(asks)
		shown := tls.Certificate{PrivateKey: key}
		for _, c := range chain {
			shown.Certificate = append(shown.Certificate, c.Raw)
		}
		return &fakeServer{t, &tls.Config{MinVersion: lowest, Certificates: []tls.Certificate{shown}, ClientAuth: tls.RequestClientCert, ClientCAs: pool}}
	}
	for _, c := range []struct {
		name   string
		c      *Cluster
		server *fakeServer
		want   string
	}{
		{"as the files say", on("TLSv1.2", first), serves(tls.VersionTLS12, clients.cert, first, sub), ""},
		{"another certificate, with what was refused just before not tried again", on("TLSv1.2", second), serves(tls.VersionTLS11, clients.cert, second, sub), ""},
		{"with TLS 1.1, which the settings allow", on("TLSv1.1", first), serves(tls.VersionTLS11, clients.cert, first, sub), ""},
		{"with TLS 1.1", on("TLSv1.2", second), serves(tls.VersionTLS11, clients.cert, second, sub), "TLS 1.1 was accepted, although the lowest version is TLSv1.2"},
		{"with TLS 1.1, once more", on("TLSv1.2", first), serves(tls.VersionTLS11, clients.cert, first, sub), "TLS 1.1 was accepted"},
		{"without the authority above", on("TLSv1.2", first), serves(tls.VersionTLS12, clients.cert, first), "the server did not take the files"},
		{"another certificate", on("TLSv1.2", second), serves(tls.VersionTLS12, clients.cert, first, sub), "the server did not take the files"},
		{"asking for others", on("TLSv1.2", second), serves(tls.VersionTLS12, root.cert, second, sub), "it asks for certificates of"},
	} {
		err := (&postgresReload{WithProof: true}).proveCluster(t.Context(), host, c.c, c.server)
		if got := ""; err != nil {
			got = err.Error()
			if c.want == "" || !strings.Contains(got, c.want) {
				t.Errorf("%s: %v", c.name, err)
			}
		} else if c.want != "" {
			t.Errorf("%s: it counts as proved", c.name)
		}
	}
}
