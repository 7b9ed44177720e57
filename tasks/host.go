package tasks

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

// Host is what a task may know of the host that it works on. All but View is fixed for the run.
type Host struct {
	// Name in the inventory; Address: what is dialled, a name or an IP address.
	Name, Address string
	// Names are further names and addresses of the host (inventory key names), for subjectAltName and hosts_entry.
	Names []string
	// Roles are db_server, client, root_ca, intermediate_ca, and the user's own.
	Roles []string
	// Become: commands run as root through sudo. LoginUser: the SSH user.
	Become    bool
	LoginUser string
	// Clusters chosen by the inventory ("15/main"); none: all that are found.
	Clusters []string
	// Identities that applications on this client use.
	Identities []Identity
	// Servers that this client uses: names of hosts with role db_server, in inventory order.
	Servers []string
	// Vars are the inventory's and the playbook's variables for this host, filled.
	Vars map[string]any

	View  *View
	Fleet *Fleet
}

// HasRole tells whether the host has a role.
func (h *Host) HasRole(role string) bool {
	for _, r := range h.Roles {
		if r == role {
			return true
		}
	}
	return false
}

// Identity is one database user for one OS user on a client.
type Identity struct {
	// OSUser owns the files; DBUser is the role name and the certificate's common name.
	OSUser, DBUser string
	// Databases that the rules admit to; none: all.
	Databases []string
	// Home is the folder in the place of OSUser's home directory, absolute; "": the home directory.
	Home string
	// Default: libpq's default file names are used as well (~/.postgresql/postgresql.crt …).
	Default bool
	// AllowPrivileged permits a certificate for postgres, superuser or replication roles.
	AllowPrivileged bool
	// AfterChange runs on the client once the identity's certificate has changed; nil: nothing does.
	AfterChange *Command
	// P12: a PKCS#12 file of key and certificate is kept beside the PEM files.
	P12 bool
	// Replication: this server's standbys stream as this user; it logs in to the other servers, for replication alone.
	Replication bool
	// Password of the role: a reference {env: NAME} | {file: PATH} | {command: [WORD …]}, resolved at apply; nil: none.
	Password map[string]any
}

// uses tells whether an identity of a client logs in to a server that the client uses: no server replicates from itself.
func (id Identity) uses(client, server *Host) bool {
	return !id.Replication || client.Name != server.Name
}

// identitiesAt gives the identities of a client that log in to a server.
func (h *Host) identitiesAt(server *Host) []Identity {
	return slices.DeleteFunc(slices.Clone(h.Identities), func(id Identity) bool { return !id.uses(h, server) })
}

// Command is a program of the user's on a host: its words, and the OS user who runs it ("": root).
type Command struct {
	Argv []string
	User string
}

// Fleet is the rest of the world as a task may see it.
type Fleet struct {
	// Hosts by name: those of this run and those that they depend on have a filled View.
	Hosts map[string]*Host
	// UsedBy gives the clients of each server, in name order; nil: Clients searches Hosts.
	UsedBy map[string][]*Host
	// Authorities as declared.
	Authorities map[string]pki.Authority
	// CA is the live access to them.
	CA Authorities
	// KeySecret gives the passphrases of authorities' keys; nil: nobody knows them.
	KeySecret KeySecret
	// Run identifies the run (sortable, unique). Now is the time that decides renewals.
	Run string
	Now time.Time
	// CheckOnly: nothing is going to be applied. AcceptRefusals: --accept-refusals.
	CheckOnly, AcceptRefusals bool
	// Proofs collects what verification has shown in this run.
	Proofs *Proofs
	// Gate keeps the number of test connections to a server low; its zero value is ready.
	Gate Gate

	// labels counts servers by the first label of their name; see serversWithLabel.
	labels struct {
		once  sync.Once
		count map[string]int
	}
	// shared are further names of several servers; see sharedName.
	shared struct {
		once  sync.Once
		names map[string]bool
	}
}

// Clients gives the clients that use a server, in name order.
func (f *Fleet) Clients(server string) []*Host {
	if f.UsedBy != nil {
		return f.UsedBy[server]
	}
	var out []*Host
	for _, h := range f.Hosts {
		for _, s := range h.Servers {
			if s == server && h.HasRole("client") {
				out = append(out, h)
			}
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// View is what is known of one host: results of probes by key. It is safe for concurrent use.
type View struct {
	mu       sync.RWMutex
	results  map[string]transport.Result
	planned  map[string]bool
	foreseen map[string][]func(seen any)
	// read is what was made of a key's result, with what is foreseen; state counts what can change it.
	read  map[string]reading
	state int
	// clusters is what the next look at PostgreSQL need not find out again; see servers.
	clusters []string
}

type reading struct {
	value any
	err   error
}

// once gives what make makes of a key, again and again, until the key is looked at anew or another change is foreseen. Nobody may change the value: hosts
// that depend on this one get the same.
func (v *View) once(key string, make func() (any, error)) (any, error) {
	v.mu.RLock()
	r, ok := v.read[key]
	state := v.state
	v.mu.RUnlock()
	if ok {
		return r.value, r.err
	}
	r.value, r.err = make()
	v.mu.Lock()
	defer v.mu.Unlock()
	if state == v.state {
		if v.read == nil {
			v.read = map[string]reading{}
		}
		v.read[key] = r
	}
	return r.value, r.err
}

// stale forgets what was made of a key. The lock is held.
func (v *View) stale(key string) {
	delete(v.read, key)
	v.state++
}

// Get gives a probe's result. ErrPending when it was never looked at, or a change on its way makes it stale in a way that nobody foresees.
func (v *View) Get(key string) (transport.Result, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	r, ok := v.results[key]
	if !ok || slices.ContainsFunc(v.foreseen[key], func(edit func(any)) bool { return edit == nil }) {
		return r, fmt.Errorf("%s: %w", key, ErrPending)
	}
	return r, nil
}

// Put records results, replacing those of the same key.
func (v *View) Put(results ...transport.Result) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.results == nil {
		v.results = map[string]transport.Result{}
	}
	for _, r := range results {
		if r.Key != "" {
			v.results[r.Key] = r
			delete(v.foreseen, r.Key)
			v.stale(r.Key)
		}
	}
}

// Foresee notes what a change that was not sent yet will have made of what a key shows. edit gets what was read under that key, in the form that the
// key's reader gives it ([]*Cluster, *look), each time that it is read, until the key is looked at again. nil: nobody can say; Get gives ErrPending.
func (v *View) Foresee(key string, edit func(seen any)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.foreseen == nil {
		v.foreseen = map[string][]func(any){}
	}
	v.foreseen[key] = append(v.foreseen[key], edit)
	v.stale(key)
}

// Foreseen edits what was read under a key as changes on their way will have made it.
func (v *View) Foreseen(key string, seen any) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, edit := range v.foreseen[key] {
		edit(seen)
	}
}

// Plan notes that, with --check, an earlier task would change what these keys show.
func (v *View) Plan(keys ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.planned == nil {
		v.planned = map[string]bool{}
	}
	for _, k := range keys {
		v.planned[k] = true
	}
}

// Planned tells whether an earlier task of a --check run would change what key shows.
func (v *View) Planned(key string) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.planned[key]
}

// changing tells whether, with --check, an earlier task would change something on a server or a client.
func (f *Fleet) changing() bool {
	for _, h := range f.Hosts {
		if f.CheckOnly && (h.HasRole("db_server") || h.HasRole("client")) && h.View.plans() {
			return true
		}
	}
	return false
}

func (v *View) plans() bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return len(v.planned) > 0
}

// IssueRequest asks an authority for a leaf or a sub-CA certificate.
type IssueRequest struct {
	// CSR in DER. Only its public key is used; its self-signature is checked.
	CSR []byte
	// Template says profile, subject, names and life: from the inventory, never from the CSR.
	Template pki.Template
	// Host that holds the key: a key used by another host is refused.
	Host string
	// Fresh: a new certificate even if one was issued for the same request before (renewal).
	Fresh bool
	// Not is the certificate in force, when it will not do any more: an authority that signs elsewhere is asked for another one.
	Not *x509.Certificate
}

// ErrRefused marks a value or a state that pgfleet will not go on with; the text says what to do instead.
var ErrRefused = errors.New("refused")
