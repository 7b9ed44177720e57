package survey

import (
	"cmp"
	"crypto/x509"
	"slices"
	"strings"
	"time"
)

// Kind says what a row is about.
type Kind string

// The kinds of row.
const (
	KindCertificate Kind = "certificate" // a server's or client's own
	KindAuthority   Kind = "authority"   // a CA's, on its host or where it is believed
	KindKey         Kind = "key"
	KindList        Kind = "list"     // a list of revoked certificates
	KindSettings    Kind = "settings" // a server's configuration that has to name pgfleet's settings
	KindRules       Kind = "rules"    // a server's pg_hba.conf
	KindServices    Kind = "services" // a client's ~/.pg_service.conf
	KindHost        Kind = "host"     // what could not be looked at
)

// State is how something is.
type State string

// The states, the most urgent first.
const (
	Unlooked      State = "not_seen"         // it could not be looked at
	Revoked       State = "revoked"          // its authority has revoked it
	Expired       State = "expired"          // it is over
	KeyMismatch   State = "key_mismatch"     // the certificate is not for the key beside it
	Missing       State = "missing"          // it should be there and is not
	Unreadable    State = "unreadable"       // it is there and cannot be read
	RulesLost     State = "rules_lost"       // pgfleet's block of pg_hba.conf is gone or changed
	IncludeLost   State = "include_lost"     // postgresql.conf does not include pgfleet's settings, or not last
	ServicesLost  State = "services_lost"    // pgfleet's block of ~/.pg_service.conf is gone
	NotServed     State = "not_served"       // the server presents or uses another one
	ListMissing   State = "list_missing"     // a CA in force has no list
	WrongMode     State = "wrong_mode"       // owner or mode are wrong
	Incomplete    State = "chain_incomplete" // authorities between it and its root are missing
	NotTrusted    State = "not_trusted"      // those who shall accept it do not
	NotYet        State = "not_valid_yet"    // it begins later
	RecordsDiffer State = "records_differ"   // what the authority knows and what the fleet has differ
	RenewSoon     State = "renew_soon"       // the next run renews it
	ListEnding    State = "list_ending"      // a list ends soon
	Waiting       State = "waiting"          // an authority that is offline or not ours was asked for it
	NotOurs       State = "not_ours"         // no authority of the inventory made it
	Orphan        State = "orphan"           // issued, good, and nowhere in the fleet
	OK            State = "ok"
	NotInForce    State = "not_in_force" // kept, and used by nobody
)

// order is the states by urgency.
var order = []State{Unlooked, Revoked, Expired, KeyMismatch, Missing, Unreadable, RulesLost, IncludeLost, ServicesLost, NotServed, ListMissing, WrongMode,
	Incomplete, NotTrusted, NotYet, RecordsDiffer, RenewSoon, ListEnding, Waiting, NotOurs, Orphan, OK, NotInForce}

// Level is how bad a state is.
type Level int

// The levels of State.Level.
const (
	Fine    Level = iota // nothing has to be done
	Warning              // something has to be done in time
	Broken               // something does not work now, or at the next restart, or is not safe
)

// Level sorts a state.
func (s State) Level() Level {
	switch s {
	case OK, NotInForce:
		return Fine
	case RenewSoon, ListEnding, Waiting, NotOurs, Orphan:
		return Warning
	}
	return Broken
}

// Word is a state for people to read.
func (s State) Word() string {
	if s == KeyMismatch {
		return "key does not match"
	}
	if s == WrongMode {
		return "wrong owner or mode"
	}
	return strings.ReplaceAll(string(s), "_", " ")
}

// Finding is one thing that is not as it should be.
type Finding struct {
	State  State  `json:"state"`
	Reason string `json:"reason"`
	Hint   string `json:"hint,omitempty"`
}

// Renewal says when a certificate or list is replaced, and why then.
type Renewal struct {
	// Due: by the next run. At: from then on.
	Due    bool      `json:"due"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// Row is one certificate, key, list or other thing of the fleet. What it does not have is "" or nil.
type Row struct {
	Host string `json:"host"`
	// Role: db_server, client, root_ca or intermediate_ca. Holder: a cluster (15/main), an identity (dbuser1 of postgres) or an authority.
	Role   string `json:"role"`
	Holder string `json:"holder"`
	Kind   Kind   `json:"kind"`
	Path   string `json:"path"`
	// Subject and Issuer as CN=x,O=y; Serial in upper-case hex; of a list the Number. Names are those of subjectAltName.
	Subject string   `json:"subject,omitempty"`
	Names   []string `json:"names,omitempty"`
	Issuer  string   `json:"issuer,omitempty"`
	Serial  string   `json:"serial,omitempty"`
	Number  string   `json:"number,omitempty"`
	SHA256  string   `json:"sha256,omitempty"`
	// NotBefore and NotAfter; of a list thisUpdate and nextUpdate. DaysLeft: whole days until NotAfter, below 0 once it is over.
	NotBefore *time.Time `json:"not_before,omitempty"`
	NotAfter  *time.Time `json:"not_after,omitempty"`
	DaysLeft  *int       `json:"days_left,omitempty"`
	// InForce: a server or client uses it, or it is an authority's own.
	InForce bool `json:"in_force"`
	// State is the most urgent of Findings, OK or NotInForce without any.
	State    State     `json:"state"`
	Findings []Finding `json:"findings,omitempty"`
	Renewal  *Renewal  `json:"renewal,omitempty"`

	// Cert or List is what the row is about, nil where it is neither. Unreachable: the host was not reached.
	Cert        *x509.Certificate    `json:"-"`
	List        *x509.RevocationList `json:"-"`
	Unreachable bool                 `json:"-"`
}

// find adds a finding; its first of a state counts.
func (r *Row) find(state State, reason, hint string) {
	if !r.has(state) {
		r.Findings = append(r.Findings, Finding{state, reason, hint})
	}
}

func (r *Row) has(state State) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.State == state })
}

// settle sorts the findings and gives the row its state.
func (r *Row) settle() {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return Compare(a.State, b.State) })
	switch {
	case len(r.Findings) > 0:
		r.State = r.Findings[0].State
	case r.InForce:
		r.State = OK
	default:
		r.State = NotInForce
	}
}

func rank(s State) int { return slices.Index(order, s) }

// Compare puts the more urgent of two states first, for slices.SortFunc.
func Compare(a, b State) int { return rank(a) - rank(b) }

// Ends tells whether what is in force ends within a time from now on, or has ended.
func (r *Row) Ends(now time.Time, within time.Duration) bool {
	return r.InForce && r.NotAfter != nil && !r.NotAfter.After(now.Add(within))
}

// Sort puts rows in order of urgency: by state, then by what is left, then by host and path.
func Sort(rows []Row) {
	left := func(r *Row) int {
		if r.DaysLeft == nil {
			return 1 << 30
		}
		return *r.DaysLeft
	}
	slices.SortStableFunc(rows, func(a, b Row) int {
		return cmp.Or(Compare(a.State, b.State), cmp.Compare(left(&a), left(&b)), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Path, b.Path))
	})
}
