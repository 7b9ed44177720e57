package tasks

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

var _ = register(Kind{
	Name:    "certificate",
	Summary: "give a server's clusters, or a client's database users, their own key and certificate",
	Doc: `Key and certificate request are made on the host by its own openssl, as the user who will own them; the private key never leaves the host and is
never read by pgfleet. The authority signs; names, life and use come from the inventory, never from the request.

Servers keep them in /etc/pgfleet/VERSION-CLUSTER/v/TIME/ (key root:postgres 0640) and are switched by one rename of pgfleet.conf. Clients keep them in
~/.postgresql/pgfleet/DATABASE-USER/v/TIME/ and are switched by one rename of ~/.pg_service.conf. Before that, the user who will read the files has checked that
key and certificate belong together and that the chain leads to its root.

Renewed when two thirds of its life are over, when names, issuer or key changed, when it was revoked, or with force. The key is kept unless new_key says otherwise,
the certificate was revoked because its key is known to others, or it is a server's that had another name (renamed, or a copy of that machine). Where only an
authority above it was renewed, the certificate stays and its file gets the new chain.

A client's new certificate is tried before it is put in force: where a server that accepts the one in force does not accept it, nothing is switched and the task fails.
Then after_change of the identity runs, once the certificate has changed; one that fails is tried again by the next run.

An authority that is offline or not ours is asked: the request is kept beside the inventory, and the task waits for the answer (pgfleet authority requests, pgfleet
authority answer). What is in force stays so meanwhile.

Refused: a certificate in force that is not pgfleet's (see existing; Debian's snakeoil counts as none); one that is to be kept and does not match its key, or whose key has
a passphrase that the server cannot be asked for when it starts or reloads; database users postgres, superusers and replication
roles unless the identity has allow_privileged; symbolic links and strangers' folders below a client's home directory.`,
	Example: "certificate: {issuer: servers, profile: server, valid_for: 365d}",
	New:     func() Task { return new(certificateTask) },
	Roles:   []string{"db_server", "client"},
})

// certificateTask is one certificate task as written.
type certificateTask struct {
	Issuer   string        `param:"issuer,required" doc:"authority that signs, as named in the inventory"`
	Profile  string        `param:"profile" allowed:"server client" doc:"server or client; not given: by the host's role"`
	ValidFor time.Duration `param:"valid_for" default:"365d" doc:"life of the certificate"`
	Names    []string      `param:"names" doc:"further names and addresses of a server, besides name, address and names of the inventory"`
	CN       string        `param:"cn" default:"first name" doc:"common name of a server's certificate; an empty text leaves it out"`
	KeyType  string        `param:"key_type" allowed:"ecdsa-p256 ecdsa-p384 rsa-2048 rsa-3072 rsa-4096 ed25519" doc:"type of a new key (ecdsa-p256); given, a key of another type is replaced"`
	NewKey   bool          `param:"new_key" doc:"make a new key when the certificate is renewed"`
	Force    bool          `param:"force" doc:"renew now, due or not"`
	Only     string        `param:"only" allowed:"renew replace" doc:"renew: only what has a certificate of pgfleet's and is due; replace: also what has one of an authority that has a successor (replaces), which signs the new one once everybody who meets it believes it. Files stay in the place where they are, nothing is repaired, no name is taken away"`
	Until    string        `param:"until" default:"drop" allowed:"trust reissue drop" doc:"how far a replacement is to go; only: replace does nothing when it is trust"`
	TLSDir   string        `param:"tls_dir" default:"own" allowed:"own data home" doc:"own: pgfleet's folders; data: copies in a server's data directory (backups and pg_rewind then meet the key); home: copies as client.crt and client.key in a client's ~/.postgresql"`
	Existing string        `param:"existing" default:"stop" allowed:"stop keep overlap replace" doc:"when a certificate that is not pgfleet's is in force: stop, keep it, or replace it (overlap does the same here: a leaf has no overlap)"`

	forced followed
}

// followed notes where force was followed in this run.
type followed struct {
	mu      sync.Mutex
	targets map[string]bool
}

// Validate refuses parameters that cannot be together.
func (t *certificateTask) Validate() []*ParamError {
	var errs []*ParamError
	if t.Profile == "client" && (len(t.Names) > 0 || t.CN != "first name") {
		errs = append(errs, &ParamError{"names", "names and cn are a server's; a client's certificate has the database user as its only name"})
	}
	if t.TLSDir == "data" && t.Profile == "client" {
		errs = append(errs, &ParamError{"tls_dir", "data is a server's data directory; a client has own or home"})
	}
	if t.TLSDir == "home" && t.Profile == "server" {
		errs = append(errs, &ParamError{"tls_dir", "home is a client's home directory; a server has own or data"})
	}
	if t.ValidFor < time.Hour { // it would have ended before it is in force everywhere
		errs = append(errs, &ParamError{"valid_for", "wants a life of 1h or more"})
	}
	return errs
}

// Needs looks at a server's clusters and versions, or at a client's identities and the clusters of its servers.
func (t *certificateTask) Needs(h *Host) []transport.Step {
	if t.profile(h) == pki.ProfileServer {
		return []transport.Step{PostgresProbe(h), serverProbe()}
	}
	return identityProbes(h)
}

func (t *certificateTask) profile(h *Host) pki.Profile {
	if t.Profile != "" {
		return pki.Profile(t.Profile)
	}
	if h.HasRole("db_server") {
		return pki.ProfileServer
	}
	return pki.ProfileClient
}

// Relies names the authority that signs.
func (t *certificateTask) Relies() map[string][]string {
	return map[string][]string{"issuer": {t.Issuer}}
}

// Check finds what has to be issued or put right.
func (t *certificateTask) Check(_ context.Context, h *Host) (*Change, error) {
	if t.Profile == "" && h.HasRole("db_server") && h.HasRole("client") {
		return nil, fmt.Errorf("%w: %s is a db_server and a client: say which with profile: server or client", ErrRefused, h.Name)
	}
	gens := h.Fleet.Generations(t.Issuer)
	if t.Only == "replace" && (t.Until == "trust" || len(gens) == 1) {
		return nil, nil
	}
	if len(gens) == 0 {
		return nil, fmt.Errorf("%w: issuer %s is not an authority of the inventory", ErrRefused, t.Issuer)
	}
	if t.profile(h) == pki.ProfileServer {
		return t.checkServer(h)
	}
	return t.checkClient(h)
}

// issuing is what a task knows of the authority that signs.
type issuing struct {
	name string
	// chain is the authority's certificate first, its root last. crl is its newest list, nil when there is none.
	chain []*x509.Certificate
	crl   *x509.RevocationList
	// foreign is the authority when somebody else signs for it, nil when pgfleet has it sign.
	foreign *pki.Authority
	// unwanted certificates of a foreign authority shall be revoked, which they are once its list says so.
	unwanted []pki.Revoked
	// before are the lists of the authorities that this one replaces; next are those that replace it.
	before []*x509.RevocationList
	next   []*issuing
	// early is why nobody may have a certificate of it yet, nil when nothing is. It may be asked for one: the answer may take days.
	early error
	// cannot is why it can sign nothing, nil when nothing is known against it.
	cannot error
}

// served is what is presented: the leaf and every authority above it but the root.
func (i *issuing) served(leaf *x509.Certificate) []byte {
	return pki.CertificatePEM(i.servedChain(leaf)...)
}

func isRoot(cert *x509.Certificate) bool { return bytes.Equal(cert.RawSubject, cert.RawIssuer) }

// serverTemplate is what a server's certificate shall say.
func (t *certificateTask) serverTemplate(h *Host) pki.Template {
	tmpl := pki.Template{Profile: pki.ProfileServer, ValidFor: t.ValidFor}
	names := serverNames(h, t.Names)
	for _, name := range names {
		if ip, err := netip.ParseAddr(name); err == nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, net.IP(ip.AsSlice()))
			continue
		}
		tmpl.DNSNames = append(tmpl.DNSNames, name)
	}
	tmpl.Subject.CommonName = t.CN
	if t.CN == "first name" {
		tmpl.Subject.CommonName = ""
		if len(names[0]) <= 64 {
			tmpl.Subject.CommonName = names[0]
		}
	}
	return tmpl
}

// serverNames are the names and addresses of a server: its name, its address, those of the inventory, further ones; each once, in that order.
func serverNames(h *Host, further []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, name := range append(append([]string{h.Name, h.Address}, h.Names...), further...) {
		if ip, err := netip.ParseAddr(name); err == nil {
			name = ip.WithZone("").Unmap().String()
		}
		if key := strings.ToLower(name); name != "" && !seen[key] {
			seen[key] = true
			out = append(out, name)
		}
	}
	return out
}

// wantsForce tells whether force still has to be followed for a target of this run.
func (t *certificateTask) wantsForce(target string) bool {
	return t.Force && !t.forced.has(target)
}

func (f *followed) has(target string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.targets[target]
}

func (f *followed) add(target string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.targets == nil {
		f.targets = map[string]bool{}
	}
	f.targets[target] = true
}

// applied notes, once the closing steps have worked, that force was followed.
func (t *certificateTask) applied(plans []*certificatePlan) func([]transport.Result) error {
	return func(results []transport.Result) error {
		for _, r := range results {
			if r.Err != nil {
				return nil
			}
		}
		for _, p := range plans {
			t.forced.add(p.Key)
		}
		return nil
	}
}
