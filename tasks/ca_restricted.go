package tasks

import (
	"crypto/sha256"
	_ "embed" // ca_restricted.sh
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

//go:embed ca_restricted.sh
var caRestricted string

//go:embed ca_policy.awk
var caPolicy string

// PolicyFolder holds the policies on the host of authorities in mode restricted, one file an authority, called as it.
const PolicyFolder = "/etc/pgfleet/policy"

// listLeast is how long, in days, a list in mode restricted lasts at least, unless its authority ends before.
const listLeast = 90

// defaultPerDay is how many certificates an authority in mode restricted signs within 24 hours where the inventory names no number.
const defaultPerDay = 1000

// RestrictedProgram is what is installed on the host of an authority in mode restricted, as pki.RestrictedProgram.
func RestrictedProgram() string {
	quoted := strings.ReplaceAll(caPolicy, "'", `'\''`)
	return strings.Replace(caRestricted, "@POLICY@", quoted, 1) + caProgram
}

func restrictedHash() string {
	sum := sha256.Sum256([]byte(RestrictedProgram()))
	return hex.EncodeToString(sum[:])
}

// PolicyOf is the policy that the inventory gives an authority. ErrRefused when it cannot be written down.
func PolicyOf(declared map[string]pki.Authority, a pki.Authority) (pki.Policy, error) {
	p := pki.Policy{Folder: a.DirOrDefault(), Profiles: a.Profiles, Names: a.AllowedNames, Reserved: a.ReservedUsers, Life: wholeDays(a.LeafLife()), PerDay: a.MaxPerDay, ListLeast: listLeast}
	p.PassphraseFile, _ = a.Passphrase["host_file"].(string)
	if len(p.Profiles) == 0 {
		p.Profiles = []pki.Profile{pki.ProfileServer, pki.ProfileClient}
	}
	if len(p.Names) == 0 {
		p.Names = []string{"*"}
	}
	if p.PerDay == 0 {
		p.PerDay = defaultPerDay
	}
	for _, below := range declared {
		if below.Issuer != a.Name || below.External != "" {
			continue
		}
		if !a.IsRoot() {
			return p, fmt.Errorf("authority %s is below it, and in mode restricted only a root signs authorities: %w", below.Name, ErrRefused)
		}
		t, err := authorityTemplate(declared, below)
		if err != nil {
			return p, fmt.Errorf("authority %s below it: %w: %w", below.Name, err, ErrRefused)
		}
		p.Below = append(p.Below, pki.PolicyAuthority{PathLength: t.MaxPathLen, Days: wholeDays(t.ValidFor), Subject: pki.FormatSubject(t.Subject)})
	}
	sort.Slice(p.Below, func(i, j int) bool { return p.Below[i].Subject < p.Below[j].Subject })
	return p, nil
}

func wholeDays(d time.Duration) int { return int((d + 24*time.Hour - 1) / (24 * time.Hour)) }

// needsRoot refuses what an authority in mode restricted does not do for whom it may run for: making its key, its first certificate and its canaries.
func (p *authorityPlan) needsRoot() error {
	s := p.state
	if !p.a.Restricted() || s.PublicKey != nil && len(s.Open) == 0 && !p.good && !p.bad && (!p.certificate || p.due) {
		return nil
	}
	return fmt.Errorf("it is in mode restricted, and this needs root on its host (%s): pgfleet authority restrict %s: %w", inShort(p.reasons, 3, ", "), p.a.Name, ErrRefused)
}

// warnInstalled names the hosts in mode restricted whose program is not this version's, or whose policy allows more than the inventory.
func (c *CA) warnInstalled() {
	for _, name := range slices.Sorted(maps.Keys(c.declared)) {
		a := c.declared[name]
		if !a.Restricted() {
			continue
		}
		state, err := c.state(a)
		if err != nil || state.Folder != "ours" {
			continue
		}
		if state.Program != restrictedHash() {
			c.warn("%s on %s is not that of this version of pgfleet: bring it up to date with pgfleet authority restrict %s", pki.RestrictedProgram, a.Host, name)
		}
		if wanted, err := PolicyOf(c.declared, a); err == nil && state.Policy != nil {
			if more := state.Policy.Beyond(wanted); len(more) > 0 {
				c.warn("%s/%s on %s allows more than the inventory (%s): bring it up to date with pgfleet authority restrict %s", PolicyFolder, name, a.Host, inShort(more, 3, ", "), name)
			}
		}
	}
}
