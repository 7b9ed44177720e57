package tasks

import (
	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/tasks/survey"
	"github.com/pgfleet/pgfleet/transport"
)

// parseRecords gives what an authority has issued, of the result of IssuedProbe.
func parseRecords(r transport.Result) ([]survey.Record, error) {
	issued, _, err := IssuedBy("", r)
	if err != nil {
		return nil, err
	}
	out := make([]survey.Record, 0, len(issued))
	for _, i := range issued {
		out = append(out, survey.Record{Serial: pki.FormatSerial(i.Serial), Profile: i.Profile, Host: i.Host, Expires: i.Expires, Subject: i.Subject})
	}
	return out, nil
}
