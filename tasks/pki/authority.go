// Package pki holds what pgfleet knows about certificates: profiles, names, lifetimes, lists of revoked certificates, renewal. Pure functions:
// no connection, no file, no clock of its own.
package pki

import (
	"crypto/x509/pkix"
	"net"
	"time"
)

// Authority is one CA as declared in the inventory.
type Authority struct {
	// Name in the inventory ("clients"); Host holds the key; Issuer is the name of the authority above, "" for a root.
	Name, Host, Issuer string
	// Subject as written, for example "CN=root-ca1,O=Example".
	Subject string
	// ValidFor is the CA certificate's life. LeafValidFor is the longest life that it gives to a leaf; 0 means 398 days.
	ValidFor, LeafValidFor time.Duration
	// KeyType: ecdsa-p256 (default), ecdsa-p384, rsa-2048, rsa-3072, rsa-4096, ed25519.
	KeyType string
	// Dir on the host; "" means /etc/pgfleet/ca/<name>.
	Dir string
	// Key is the URI (RFC 7512) of a key in a token of Host, "" where the key is in a file.
	Key string
	// Passphrase of the key, or the PIN of its token: a reference {prompt: true} | {env: NAME} | {file: PATH} | {command: [WORD …]}, resolved on the controller when the key is used, or
	// {host_file: PATH} of a file on Host; nil: the key has none.
	Passphrase map[string]any
	// Mode: convenient (ca.sh travels with the request) or restricted (installed on the host, see Policy).
	Mode string
	// Offline: requests are exported and answers imported. External: not ours, only its certificate (PEM file on the controller) is known.
	Offline  bool
	External string
	// Desk is the folder on the controller that holds what is exchanged with an authority that is offline or external; "" for the others.
	Desk string
	// Lists is a file on the controller that the user keeps up to date with an external authority's lists of revoked certificates; "": none.
	Lists string
	// AllowedNames: patterns that names in leaves must match; none: any.
	AllowedNames []string
	// Profiles of the leaves that it may sign (inventory key profiles); none: server and client.
	Profiles []Profile
	// Replaces is the name of the authority that this one takes the place of, "" for none; it need not be declared any more. See Generations.
	Replaces string
	// In mode restricted: database users, as patterns in small letters, that get no certificate, and how many certificates it signs within 24 hours.
	ReservedUsers []string
	MaxPerDay     int
}

// Restricted tells whether the authority's host lets pgfleet run nothing but RestrictedProgram, which signs by its own policy.
func (a Authority) Restricted() bool { return a.Mode == "restricted" }

// RestrictedProgram is the one program that may be run on the host of an authority in mode restricted.
const RestrictedProgram = "/usr/local/lib/pgfleet/ca"

// Profile is the purpose of a certificate.
type Profile string

// The profiles, with the extensions of POSTGRES_TLS 2.5 and RFC 5280 4.2.1.
const (
	ProfileServer Profile = "server" // serverAuth, every name in SAN
	ProfileClient Profile = "client" // clientAuth, CN = database user
	ProfileCA     Profile = "ca"     // keyCertSign and cRLSign, path length
	// ProfileCanary is for the certificates that prove a server's trust: both uses, no names, and a key that nobody has.
	ProfileCanary Profile = "canary"
)

// Template is what a certificate shall say.
type Template struct {
	Profile Profile
	Subject pkix.Name
	// DNSNames and IPAddresses go to subjectAltName.
	DNSNames    []string
	IPAddresses []net.IP
	// ValidFor counts from now; notBefore is Backdate earlier.
	ValidFor time.Duration
	// MaxPathLen for ProfileCA; -1 means no limit.
	MaxPathLen int
}

// Backdate is how far notBefore lies before the time of signing, so that hosts with slow clocks accept the certificate.
const Backdate = 5 * time.Minute

// DefaultLeafLife is the longest life of a leaf where the inventory names none.
const DefaultLeafLife = 398 * 24 * time.Hour

// DefaultLife is the life of an authority's certificate where the inventory names none.
const DefaultLife = 3650 * 24 * time.Hour

// SecretName says what Passphrase is: "passphrase of authority clients", or its "PIN".
func (a Authority) SecretName() string {
	if a.Key != "" {
		return "PIN of authority " + a.Name
	}
	return "passphrase of authority " + a.Name
}

// LeafLife is the longest life that the authority gives to a leaf.
func (a Authority) LeafLife() time.Duration {
	if a.LeafValidFor > 0 {
		return a.LeafValidFor
	}
	return DefaultLeafLife
}

// Life is how long the authority's own certificate is valid.
func (a Authority) Life() time.Duration {
	if a.ValidFor > 0 {
		return a.ValidFor
	}
	return DefaultLife
}

// DirOrDefault is the authority's folder on its host, an absolute path.
func (a Authority) DirOrDefault() string {
	if a.Dir != "" {
		return a.Dir
	}
	return "/etc/pgfleet/ca/" + a.Name
}

// KeyTypeOrDefault is the authority's type of key, ecdsa-p256 where the inventory names none.
func (a Authority) KeyTypeOrDefault() string {
	if a.KeyType != "" {
		return a.KeyType
	}
	return KeyTypes()[0]
}

// IsRoot tells whether the authority signs its own certificate.
func (a Authority) IsRoot() bool { return a.Issuer == "" }

// Ours tells whether pgfleet can have the authority sign: it has a host, and is neither offline nor external.
func (a Authority) Ours() bool { return a.Host != "" && !a.Offline && a.External == "" }

// Foreign tells whether somebody else signs for the authority: it is offline, or not ours.
func (a Authority) Foreign() bool { return a.Offline || a.External != "" }
