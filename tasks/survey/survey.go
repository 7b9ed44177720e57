// Package survey judges the certificates, keys and lists of revoked certificates of a fleet. It takes what was seen of every host as plain facts and gives one
// row for each thing that there is, with its state. Pure: no connection, no file, no clock of its own. It imports no other room but tasks/pki and tasks/postgres.
package survey

import (
	"crypto"
	"crypto/x509"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// Fleet is what was seen of a fleet.
type Fleet struct {
	// Now decides what has ended.
	Now time.Time
	// Hosts of the inventory by name; true: looked at, and everything that pgfleet knows of there was seen.
	Hosts       map[string]bool
	Authorities []Authority
	Servers     []Server
	Clients     []Client
	// Asked is what authorities that are offline or not ours were asked for and have not given.
	Asked []Asked
	// Unseen is what should have been looked at and could not be.
	Unseen []Unseen
}

// Asked is a certificate, or (List) a list of revoked certificates, that an authority was asked for.
type Asked struct {
	// Authority; Host that holds the key, "" of a list; Path of the request on this machine, or of the folder that it is kept in.
	Authority, Host, Path string
	List                  bool
	// Subject wanted; Names; Since; Why of a list.
	Subject string
	Names   []string
	Since   time.Time
	Why     string
}

// Unseen is a host, or a part of one, that could not be looked at.
type Unseen struct {
	// Host; Holder and Path of the part, "" for the host as a whole.
	Host, Role, Holder, Path string
	Reason, Hint             string
	// Unreachable: there was no connection.
	Unreachable bool
}

// File is one file, of which only public bytes were read. Path "" means that nothing names such a file.
type File struct {
	Path, Owner, Group string
	Mode               uint32
	ModTime            time.Time
	// Absent: it is not there. Problem: why its content cannot be read or is not what it should be, "" when it is.
	Absent  bool
	Problem string
	Certs   []*x509.Certificate
	Lists   []*x509.RevocationList
}

// Key is a private key's file. Public is its public half, nil when that could not be read; Passphrase: because it has a passphrase.
type Key struct {
	File
	Public     crypto.PublicKey
	Passphrase bool
}

// Pair is a certificate (leaf first, then those above it) and its key.
type Pair struct {
	Cert File
	Key  Key
}

// Server is one PostgreSQL cluster.
type Server struct {
	// Host in the inventory, Cluster "15/main", Dir: pgfleet's folder for it.
	Host, Cluster, Dir string
	// Names and addresses that its certificate has to carry.
	Names []string
	// OSUser and OSGroup run it.
	OSUser, OSGroup string
	// TLS: its configuration says ssl = on. Passphrase: a command gives the key's passphrase.
	TLS, Passphrase bool
	// Pair, Trust (authorities) and Lists are the files that its configuration names, in force or not. ListFolder: ssl_crl_dir is set, whose content is not read.
	Pair
	Trust, Lists File
	ListFolder   bool
	// Stopped: it is not running. Seen: a new TLS connection was tried. Served is what it presented, leaf first, none without TLS; Asks are the authorities whose certificates it
	// asks for, as pkix.RDNSequence.String writes them.
	Stopped, Seen bool
	Served        []*x509.Certificate
	Asks          []string
	// Theirs is the file of lists that the configuration names beside pgfleet's settings, which override it; "": none. Others go on to renew it.
	Theirs File
	// Loaded is the time of the last reload; InForce are the paths that the running server has for Trust and Lists.
	Loaded  time.Time
	InForce map[string]string
	// Settings is pgfleet's own settings file and OurSettings its content (name to value); Config is the content of ConfigFile, which has to include it last. Managed: another tool writes it.
	Settings, ConfigFile string
	OurSettings          map[string]string
	Config               []byte
	Managed              bool
	// HBA is the content of HBAFile; ManagedRules: another tool writes it. Noted is what pgfleet wrote there last.
	HBAFile      string
	HBA          []byte
	ManagedRules bool
	Noted        Rules
	// Versions are pairs in pgfleet's folder that the configuration does not name; Others are further certificates and lists there and in the data directory.
	Versions []Pair
	Others   []File
}

// Rules is what pgfleet noted of the rules that it wrote last: the stage and a digest of the block (Digest). Stage "" means that it noted nothing.
type Rules struct{ Stage, Digest string }

// Client is one identity: a database user for one OS user on a client.
type Client struct {
	Host, OSUser, DBUser string
	// Servers that it uses, names of hosts.
	Servers []string
	// Home, and the ServiceFile with pgfleet's services. Named: they are there. Broken: why its marks cannot be used; Refused: why nothing may be written below Home; "" when all is well.
	Home, ServiceFile string
	Named             bool
	Broken, Refused   string
	// Pair, Trust and Lists are the files that the services name.
	Pair
	Trust, Lists File
	// Versions and Others as with Server.
	Versions []Pair
	Others   []File
}

// Authority is one CA of the inventory.
type Authority struct {
	// Name, Host, Dir and Subject as declared; Root: it has none above it. External: it is not ours, only certificates (and lists) in a file are known.
	Name, Host, Dir, Subject string
	Root, External           bool
	// File on this machine that holds the certificate of one that is offline or external, "" of the others.
	File string
	// Cert is its certificate and Chain those above it, its root last; List the newest list of revoked certificates. nil: not there, or not seen.
	Cert  *x509.Certificate
	Chain []*x509.Certificate
	List  *x509.RevocationList
	// Lists: of one that is offline or external, the newest list that is known here of each of its certificates that has one, and the file that it is in.
	Lists []File
	// Seen: it was looked at on its host; what follows is known only then. Public is the public half of its key, nil when there is none; of a key with a passphrase, or in a
	// token (InToken), it is its certificate's. KeyProblem: why that could not be read.
	Seen       bool
	InToken    bool
	Public     crypto.PublicKey
	KeyProblem string
	// Open lists files and folders whose owner or mode is wrong, Differs where index.txt and the records differ.
	Open, Differs []string
	Revoked       []pki.Revoked
	// Records are all certificates that it has issued.
	Records []Record
}

// Record is one issued certificate in the records of an authority.
type Record struct {
	// Serial in upper-case hex of even length. Host for which it was issued, "" when not known (found in index.txt).
	Serial, Host string
	Profile      pki.Profile
	Expires      time.Time
	// Subject as openssl's index.txt writes it.
	Subject string
}
