package tasks

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/backup"
	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/tasks/survey"
	"github.com/pgfleet/pgfleet/transport"
)

// Restore brings an authority back from a backup, or its records up to what the fleet has seen of it; in the end it is never below that. It is no kind
// of its own: what it takes is more than a playbook can say.
type Restore struct {
	Authority pki.Authority
	// Backup, nil: the authority is there, and only lacks records. Identity is the file on the authority's host that opens the backup's key.
	Backup   *backup.Backup
	Identity string
	// Opener is the passphrase of that file, where it is the key of a certificate and has one.
	Opener []byte
	// Seen is what the fleet has of the authority.
	Seen *survey.Seen

	restored bool
}

// Needs gives the authority's records and state.
func (t *Restore) Needs(*Host) []transport.Step { return []transport.Step{recordsProbe(t.Authority)} }

// Check refuses to overwrite an authority, and finds what its records lack.
func (t *Restore) Check(_ context.Context, h *Host) (*Change, error) {
	r, err := h.View.Get(KeyAuthority(t.Authority.Name))
	if err != nil {
		return nil, err
	}
	reasons, err := t.missing(r, h.Fleet.Now)
	if err != nil {
		return nil, fmt.Errorf("authority %s on %s: %w", t.Authority.Name, h.Name, err)
	}
	if len(reasons) == 0 {
		return nil, nil
	}
	c := &Change{Summary: t.Authority.Name + ": " + strings.Join(reasons, ", "), Touches: []string{KeyAuthority(t.Authority.Name)}}
	c.Apply = func(ctx context.Context, do Doer) ([]transport.Step, error) {
		if err := t.apply(ctx, h, do); err != nil {
			return nil, fmt.Errorf("authority %s: %w", t.Authority.Name, err)
		}
		return nil, nil
	}
	return c, nil
}

// missing says what is to be done, for a state as recordsProbe saw it.
func (t *Restore) missing(r transport.Result, now time.Time) (reasons []string, err error) {
	state, err := ParseAuthority(r)
	if err != nil {
		return nil, err
	}
	dir := t.Authority.DirOrDefault()
	if t.Backup != nil && !t.restored {
		switch state.Folder {
		case "ours":
			return nil, fmt.Errorf("%s holds an authority, which is not overwritten: if it is lost, move the folder away first; if only records are missing, use --records: %w", dir, ErrRefused)
		case "foreign":
			return nil, fmt.Errorf("%s holds something that pgfleet did not make (%.200q): name another folder with dir, or move it away: %w", dir, state.Others, ErrRefused)
		}
		if state, err = t.kept(); err != nil {
			return nil, err
		}
		reasons = append(reasons, "restore from the backup of "+t.Backup.Made.Format("2006-01-02 15:04 MST"))
	}
	if err := refuseState(t.Authority, state, now); err != nil {
		return nil, err
	}
	if state.Certificate == nil {
		return nil, fmt.Errorf("there is no authority in %s: bring it back from a backup: %w", dir, ErrRefused)
	}
	issued := map[string]bool{}
	if t.Backup != nil && !t.restored {
		for _, serial := range t.Backup.Serials("issued") {
			issued[serial] = true
		}
	} else {
		records, _, err := IssuedBy("", r)
		if err != nil {
			return nil, err
		}
		for _, i := range records {
			issued[pki.FormatSerial(i.Serial)] = i.Profile != "imported" // of that index.txt alone has told: no key
		}
		for _, r := range state.forgotten() { // by its own list, which may not have reached anybody yet
			if !listed(t.Seen.Revoked, r.Serial) {
				t.Seen.Revoked = append(t.Seen.Revoked, r)
			}
		}
	}
	return append(reasons, t.below(state, issued, now)...), nil
}

// kept is the state that the backup holds.
func (t *Restore) kept() (*AuthorityState, error) {
	s := &AuthorityState{Folder: "ours", Owner: t.Authority.Name, Encrypted: t.Backup.Passphrase}
	var err error
	if s.Certificate, err = t.Backup.Certificate(); err != nil {
		return nil, err
	}
	s.PublicKey = s.Certificate.PublicKey
	if t.Backup.Sealed == "token" {
		s.Token = strings.TrimSpace(string(t.Backup.Content[t.Backup.Key()]))
	}
	if s.CRL, err = t.Backup.List(); err != nil {
		return nil, err
	}
	answer := caAnswer{Fields: map[string][]string{"crlnumber": {strings.TrimSpace(string(t.Backup.Content["crlnumber"]))}}}
	for _, serial := range t.Backup.Serials("revoked") {
		answer.Fields["revoked"] = append(answer.Fields["revoked"], strings.TrimSpace(string(t.Backup.Content["revoked/"+serial])))
	}
	return s, s.parseRevoked(answer)
}

// below says where a state is below what the fleet has seen.
func (t *Restore) below(state *AuthorityState, issued map[string]bool, now time.Time) (reasons []string) {
	certs, gone := 0, 0
	for _, d := range t.Seen.Certificates {
		if !issued[pki.FormatSerial(d.Cert.SerialNumber)] {
			certs++
		}
	}
	for _, r := range t.Seen.Revoked {
		if !listed(state.Revoked, r.Serial) {
			gone++
		}
	}
	if certs > 0 {
		reasons = append(reasons, fmt.Sprintf("take %s that hosts have into its records", count(certs, "certificate")))
	}
	if gone > 0 {
		reasons = append(reasons, fmt.Sprintf("take %s from lists in force into its records", count(gone, "revocation")))
	}
	if t.Seen.Number != nil && state.NextNumber.Cmp(t.Seen.Number) <= 0 {
		reasons = append(reasons, fmt.Sprintf("let its lists go on above number %s", t.Seen.Number))
	}
	if t.listDue(state, now) || gone > 0 {
		reasons = append(reasons, "make a new list of revoked certificates")
	}
	return reasons
}

// count writes a number and its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// listDue tells whether the list that an authority has is below what is in force somewhere, or lacks what is on record.
func (t *Restore) listDue(s *AuthorityState, now time.Time) bool {
	return s.CRL == nil || s.lacking(now) != "" || t.Seen.Number != nil && s.CRL.Number != nil && s.CRL.Number.Cmp(t.Seen.Number) < 0
}

// apply restores or adopts in one round trip, and has the list made in a second where one is due.
func (t *Restore) apply(ctx context.Context, h *Host, do Doer) error {
	files, err := keptFiles(t.Backup, t.Seen)
	if err != nil {
		return err
	}
	a := t.Authority
	request := newCARequest("adopt")
	if t.Backup != nil && !t.restored {
		request = newCARequest("restore", "name", a.Name, "sealing", t.Backup.Sealed, "identity", octal([]byte(t.Identity)), "opener", octal(t.Opener))
	}
	step, err := h.Fleet.KeySecret.open(ctx, a, true, keepStep(a, time.Time{}, files, request))
	if err != nil {
		return err
	}
	results, err := do.Do(ctx, step, recordsProbe(a))
	if err == nil {
		err = transport.Failed([]transport.Step{step, recordsProbe(a)}, results)
	}
	if err != nil {
		return err
	}
	if err := metBy(results[0]); err != nil {
		return err
	}
	t.restored = true
	state, err := ParseAuthority(results[1])
	if err != nil || !t.listDue(state, h.Fleet.Now) {
		return err
	}
	requests, err := (&revokeTask{Reason: "unspecified"}).requests(&revocation{a: a, state: state}, h.Fleet.Now)
	if err != nil {
		return err
	}
	if step, err = h.Fleet.KeySecret.open(ctx, a, true, caStep(a, h.Fleet.Now, requests...)); err != nil {
		return err
	}
	if results, err = do.Do(ctx, step); err == nil {
		err = transport.Failed([]transport.Step{step}, results)
	}
	if err != nil {
		return err
	}
	return metBy(results[0])
}

// metBy tells whether every request of a call was met.
func metBy(r transport.Result) error {
	reply, err := caResult(r)
	if err != nil {
		return err
	}
	for _, answer := range reply.Answers {
		if err := answer.err(); err != nil {
			return err
		}
	}
	return nil
}
