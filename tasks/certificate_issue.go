package tasks

import (
	"bytes"
	"context"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

//go:embed certificate_check.sh
var certificateCheckProgram string

//go:embed certificate_request.sh
var certificateRequestProgram string

// requestStep makes key and request for a plan, on the host, as their owner. Its output is the request in PEM, never a key.
func (t *certificateTask) requestStep(p *certificatePlan) transport.Step {
	config := ""
	if p.Elsewhere {
		config = pki.RequestConfig(p.Template)
	}
	return transport.Step{Key: "request for " + p.Title, User: p.User, Limit: 2 * time.Minute,
		Files: true,
		Shell: certificateCheckProgram + certificateRequestProgram,
		Argv:  []string{p.Anchor, p.Below + "/v/" + p.Gen, p.File, p.FolderMode, t.keyType(), p.KeyOf, config}}
}

// issueAll gets a certificate for every plan that needs one: one round trip for all keys and requests, then the authority, asked for all at once.
// The result has one certificate a plan, nil where none was to be made.
func (t *certificateTask) issueAll(ctx context.Context, do Doer, h *Host, plans []*certificatePlan) ([]*x509.Certificate, error) {
	var steps []transport.Step
	var which []int
	for i, p := range plans {
		if p.Issue {
			steps, which = append(steps, t.requestStep(p)), append(which, i)
		}
	}
	certs := make([]*x509.Certificate, len(plans))
	if len(steps) == 0 {
		return certs, nil
	}
	results, err := do.Do(ctx, steps...)
	if err != nil {
		return nil, err
	}
	if err := transport.Failed(steps, results); err != nil {
		return nil, err
	}
	errs := make([]error, len(which))
	var wait sync.WaitGroup
	for n, i := range which {
		if plans[i].Keep {
			certs[i] = plans[i].Current.leaf()
			continue
		}
		wait.Go(func() {
			certs[i], errs[n] = t.issueOne(ctx, h, plans[i], results[n].Stdout)
		})
	}
	wait.Wait()
	return certs, errors.Join(errs...)
}

func (t *certificateTask) issueOne(ctx context.Context, h *Host, p *certificatePlan, out []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(out)
	if block == nil || block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST" {
		return nil, fmt.Errorf("request for %s: openssl on %s printed no request", p.Title, h.Name)
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("request for %s from %s: %w", p.Title, h.Name, err)
	}
	ask := IssueRequest{CSR: block.Bytes, Template: p.Template, Host: h.Name, Fresh: p.Fresh, Not: p.Current.leaf()}
	cert, err := h.Fleet.CA.Issue(ctx, p.by.name, ask)
	if err == nil && !ask.Fresh {
		// What was issued to a run that stopped long ago may be due, or revoked, by now.
		if due, _ := pki.Renew(cert, pki.RenewPolicy{CRL: p.by.crl}, h.Fleet.Now); due {
			ask.Fresh = true
			cert, err = h.Fleet.CA.Issue(ctx, p.by.name, ask)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("certificate for %s: %w", p.Title, err)
	}
	if !bytes.Equal(cert.RawSubjectPublicKeyInfo, request.RawSubjectPublicKeyInfo) {
		return nil, fmt.Errorf("certificate for %s: authority %s signed another key than the one that was sent", p.Title, p.by.name)
	}
	return cert, nil
}

// writeSteps puts a new certificate and the chain that it is checked with into the version's folder.
func (p *certificatePlan) writeSteps(cert *x509.Certificate, mode uint32) []transport.Step {
	v := p.base() + "/v/" + p.Gen
	if cert == nil {
		old := p.version(p.Gen)
		if old == nil || old.leaf() == nil {
			return nil
		}
		cert = old.leaf()
	}
	return []transport.Step{
		writeStep(p.User, v+"/issuer.crt", mode, rootsPEM(p.by.chain)),
		writeStep(p.User, v+"/"+p.File+".crt", mode, p.by.served(cert)),
	}
}
