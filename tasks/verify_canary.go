package tasks

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

const alertUnknownCA = 48

// shown is one certificate shown to a server, without its key, and the alert that must come back (see postgresReload.canaries).
type shown struct {
	check  string
	cert   *x509.Certificate
	chain  []*x509.Certificate
	alert  int
	want   string
	refuse bool
}

// canaries shows the servers' judgement of certificates that no psql can present: nobody has their keys. It is seen from the client's host.
func (v *verify) canaries(ctx context.Context, h *Host, cases []verifyCase, via Prober) []Cell {
	show, err := v.toShow(h)
	var servers []verifyCase
	for _, c := range cases {
		same := func(other verifyCase) bool {
			return other.service.Server == c.service.Server && other.service.Cluster == c.service.Cluster
		}
		if c.check == "login" && !slices.ContainsFunc(servers, same) {
			servers = append(servers, c)
		}
	}
	cells := make([][]Cell, len(servers))
	var all errgroup.Group
	all.SetLimit(waveWidth)
	for i, c := range servers {
		all.Go(func() error {
			cell := c.blank()
			cell.Via, cell.Identity, cell.Refusal = "probe", "", true
			if err != nil {
				cell.Check, cell.Want, cell.NotProven, cell.Detail = "revoked", string(certRevoked), true, err.Error()
				cells[i] = []Cell{cell}
				return nil
			}
			probe := &tlsProbe{via: via, addr: net.JoinHostPort(c.addr(), fmt.Sprint(c.service.Port))}
			for _, one := range show {
				cells[i] = append(cells[i], one.try(ctx, cell, probe))
			}
			cells[i] = append(cells[i], oldTLS(ctx, cell, probe))
			return nil
		})
	}
	_ = all.Wait() // what went wrong is in the cells
	return slices.Concat(cells...)
}

// addr is where a test connects to: an IP address where the inventory has one, else the name.
func (c verifyCase) addr() string {
	if a := c.hostaddr; a != "" {
		return a
	}
	return c.service.Host
}

// toShow lists the certificates: of each authority from which this client's certificates come, the good and the revoked test certificate, and one of nobody's.
func (v *verify) toShow(h *Host) ([]shown, error) {
	stranger, err := strangerCertificate(h.Fleet.Now)
	if err != nil {
		return nil, err
	}
	list := []shown{{check: "foreign-ca", cert: stranger, chain: []*x509.Certificate{stranger}, alert: alertUnknownCA, want: string(caUnknown), refuse: true}}
	for _, name := range sortedKeys(h.Fleet.Authorities) {
		if h.Fleet.Authorities[name].Foreign() || !signsClients(h, name) {
			continue
		}
		chain, err := h.Fleet.CA.Chain(name)
		if err != nil {
			return nil, fmt.Errorf("authority %s: %w", name, err)
		}
		good, revoked, err := h.Fleet.CA.Canaries(name)
		if err != nil {
			return nil, fmt.Errorf("test certificates of authority %s: %w", name, err)
		}
		list = append(list, shown{check: "canary", cert: good, chain: chain, alert: alertDecryptError, want: "chain and CRL accepted"},
			shown{check: "revoked", cert: revoked, chain: chain, alert: alertRevoked, want: string(certRevoked), refuse: true})
	}
	return list, nil
}

// signsClients tells whether a certificate in one of the client's files was issued by the authority.
func signsClients(h *Host, name string) bool {
	ca, err := h.Fleet.CA.Certificate(name)
	if err != nil {
		return false
	}
	for _, id := range h.Identities {
		st, err := stateOf(h, id)
		if err == nil && st.Current.complete() && st.Current.Chain[0].CheckSignatureFrom(ca) == nil {
			return true
		}
	}
	return false
}

func (s shown) try(ctx context.Context, cell Cell, probe *tlsProbe) Cell {
	cell.Check, cell.Want, cell.Refusal = s.check, s.want, s.refuse
	_, err := probe.show(ctx, s.cert, s.chain, s.alert)
	return judged(cell, err)
}

// oldTLS wants TLS 1.1 refused.
func oldTLS(ctx context.Context, cell Cell, probe *tlsProbe) Cell {
	cell.Check, cell.Want, cell.Refusal = "tls-1.1", "refused: protocol version", true
	_, err := probe.connect(ctx, attempt{maxVersion: tls.VersionTLS11})
	var alert *alertError
	switch {
	case err == nil:
		err = errors.New("TLS 1.1 was accepted")
	case errors.As(err, &alert) && alert.code == alertProtocolVersion:
		err = nil
	}
	return judged(cell, err)
}

// judged fills a cell from a test that gives nil when all was as wanted.
func judged(cell Cell, err error) Cell {
	switch {
	case err == nil:
		cell.OK, cell.Got = true, cell.Want
	case errors.Is(err, transport.ErrForwarding):
		cell.NotProven, cell.Detail = true, "the client's sshd does not forward connections"
	default:
		cell.Got, cell.Detail = "differs", err.Error()
	}
	return cell
}

// strangerCertificate makes a client certificate that no server of the fleet can know; its key is thrown away.
func strangerCertificate(now time.Time) (*x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pgfleet-stranger"}, NotBefore: now.Add(-pki.Backdate),
		NotAfter: now.Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(raw)
}
