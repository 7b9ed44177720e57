package desk

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// Revoke puts on the desk that certificates shall be revoked. It becomes true by a list of the authority's that names them. One that is there stays as it is.
func (d Desk) Revoke(wanted ...pki.Revoked) error {
	for _, r := range wanted {
		name := "revoked/" + pki.FormatSerial(r.Serial)
		if now, err := d.read(name); err != nil || now != nil {
			if err != nil {
				return err
			}
			continue
		}
		end := "-"
		if !r.Expires.IsZero() {
			end = r.Expires.UTC().Format(time.RFC3339)
		}
		line := fmt.Sprintf("%s %s %s %s\n", pki.FormatSerial(r.Serial), r.At.UTC().Format(time.RFC3339), pki.ReasonName(r.Reason), end)
		if err := d.write(name, []byte(line)); err != nil {
			return err
		}
	}
	return nil
}

// Revoked gives what shall be, or is, revoked by the authority because pgfleet was told to.
func (d Desk) Revoked() ([]pki.Revoked, error) {
	names, err := d.names("revoked", "", "")
	if err != nil {
		return nil, err
	}
	var out []pki.Revoked
	for _, name := range names {
		data, err := d.read(name)
		if err != nil {
			return nil, err
		}
		r, err := parseRevoked(string(data))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.path(name), err)
		}
		out = append(out, r)
	}
	return out, nil
}

func parseRevoked(line string) (r pki.Revoked, err error) {
	f := strings.Fields(line)
	if len(f) != 4 {
		return r, errors.New("is not SERIAL TIME REASON END")
	}
	if r.Serial, err = pki.ParseSerial(f[0]); err != nil {
		return r, err
	}
	if r.At, err = time.Parse(time.RFC3339, f[1]); err != nil {
		return r, err
	}
	if r.Reason, err = pki.ParseReason(f[2]); err != nil {
		return r, err
	}
	if f[3] != "-" {
		r.Expires, err = time.Parse(time.RFC3339, f[3])
	}
	return r, err
}
