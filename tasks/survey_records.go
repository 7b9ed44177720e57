package tasks

import (
	"fmt"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/tasks/survey"
	"github.com/pgfleet/pgfleet/transport"
)

// parseRecords reads the answer to "records" in the result of a call of ca.sh.
func parseRecords(r transport.Result) ([]survey.Record, error) {
	reply, err := caResult(r)
	if err != nil {
		return nil, err
	}
	answer, err := reply.answer("records")
	if err != nil {
		return nil, err
	}
	if err := answer.err(); err != nil {
		return nil, err
	}
	out := make([]survey.Record, 0, len(answer.Fields["issued"]))
	for _, line := range answer.Fields["issued"] {
		rec, err := parseRecord(line)
		if err != nil {
			return nil, err
		}
		out = append(out, rec)
	}
	return out, nil
}

// parseRecord reads "SERIAL PROFILE HOST END SUBJECT"; "-" is not known.
func parseRecord(line string) (survey.Record, error) {
	f := strings.SplitN(line, " ", 5)
	if len(f) != 5 {
		return survey.Record{}, fmt.Errorf("issued/: record %.80q is cut", line)
	}
	for i := range f[:4] {
		f[i] = strings.TrimPrefix(f[i], "-")
	}
	serial, err := pki.ParseSerial(f[0])
	if err != nil {
		return survey.Record{}, fmt.Errorf("issued/: %w", err)
	}
	rec := survey.Record{Serial: pki.FormatSerial(serial), Profile: pki.Profile(f[1]), Host: f[2], Subject: f[4]}
	if f[3] != "" {
		if rec.Expires, err = indexTime(f[3]); err != nil {
			return rec, fmt.Errorf("issued/%s: %w", f[0], err)
		}
	}
	return rec, nil
}
