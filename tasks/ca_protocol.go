package tasks

import (
	"bytes"
	_ "embed" // ca.sh
	"encoding/pem"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

// caProgram is what runs on an authority's host; its head says how it is spoken to.
//
//go:embed ca.sh
var caProgram string

// caLimit ends a call of the program: a batch of signatures, or a large RSA key on a slow host.
const caLimit = 5 * time.Minute

// caRequest is one request to the program: a verb and fields as "name value".
type caRequest struct {
	verb   string
	fields []string
}

// newCARequest makes a request from pairs of name and value; empty values are left out.
func newCARequest(verb string, pairs ...string) caRequest {
	r := caRequest{verb: verb}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			r.fields = append(r.fields, pairs[i]+" "+pairs[i+1])
		}
	}
	return r
}

// shortStatus asks for the state behind other requests. What the host has seen in the same call is not found out again, where its program is surely of
// this version and knows that.
func shortStatus(a pki.Authority) caRequest {
	if a.Restricted() {
		return newCARequest("status")
	}
	return newCARequest("status", "short", "yes")
}

// caStep is one call of the program with several requests. now is compared with the host's clock; the zero time is not.
func caStep(a pki.Authority, now time.Time, requests ...caRequest) transport.Step {
	var b bytes.Buffer
	seconds := int64(0)
	if !now.IsZero() {
		seconds = now.Unix()
	}
	fmt.Fprintf(&b, "pgfleet-ca 1 %d\n", seconds)
	for _, r := range requests {
		fmt.Fprintf(&b, "request %s\n", r.verb)
		for _, f := range r.fields {
			// A value cannot end its line: what would be read as another field is not sent.
			fmt.Fprintln(&b, strings.NewReplacer("\n", " ", "\r", " ").Replace(f))
		}
		b.WriteString("end\n")
	}
	step := transport.Step{Key: "ca:" + a.Name, Stdin: b.Bytes(), Limit: caLimit}
	if a.Restricted() {
		step.Argv, step.Stdin = []string{pki.RestrictedProgram}, append([]byte("authority "+a.Name+"\n"), step.Stdin...)
		return step
	}
	step.Shell, step.Argv = caProgram, []string{a.DirOrDefault()}
	return step
}

// octal writes bytes as the program reads them: \ooo each.
func octal(data []byte) string {
	out := make([]byte, 0, 4*len(data))
	for _, c := range data {
		out = append(out, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
	}
	return string(out)
}

// caReply is what one call of the program gave.
type caReply struct {
	// Time is the host's clock. Skew is by how much it is ahead of ours, 0 where it was not compared.
	Time time.Time
	Skew time.Duration
	// Notes are for the user: what was found in index.txt.
	Notes   []string
	Answers []caAnswer
}

// caAnswer is one answer.
type caAnswer struct {
	Verb string
	// Refused is the reason, "" when the request was met.
	Refused string
	// Fields by name, each with its values in order. Files: fields that are files.
	Fields map[string][]string
	Files  map[string][]byte
}

// field gives the first value of a field, "" when there is none.
func (a caAnswer) field(name string) string {
	if v := a.Fields[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// err gives the refusal as an error.
func (a caAnswer) err() error {
	if a.Refused == "" {
		return nil
	}
	return fmt.Errorf("%s: %w", a.Refused, ErrRefused)
}

// answer gives the last answer to a verb.
func (r *caReply) answer(verb string) (caAnswer, error) {
	for i := len(r.Answers) - 1; i >= 0; i-- {
		if r.Answers[i].Verb == verb {
			return r.Answers[i], nil
		}
	}
	return caAnswer{}, fmt.Errorf("ca.sh gave no answer to %s", verb)
}

// caResult reads the reply in a step's result; the error is the step's or says what is wrong with the reply.
func caResult(r transport.Result) (*caReply, error) {
	if r.Err != nil {
		return nil, r.Err
	}
	reply, err := parseCAReply(r.Stdout)
	if err != nil {
		return nil, err
	}
	return reply, reply.lockedOut()
}

// parseCAReply reads what the program printed.
func parseCAReply(out []byte) (*caReply, error) {
	lines := strings.Split(string(out), "\n")
	reply, err := parseCAHead(lines[0])
	if err != nil {
		return nil, err
	}
	records := map[string][]byte{}
	for i := 1; i < len(lines); {
		word, rest, _ := strings.Cut(lines[i], " ")
		i++
		switch word {
		case "":
		case "note":
			reply.Notes = append(reply.Notes, rest)
		case "records":
			var text []byte
			for ; i < len(lines) && strings.HasPrefix(lines[i], "|"); i++ {
				text = append(append(text, lines[i][1:]...), '\n')
			}
			if i == len(lines) || lines[i] != "end" {
				return nil, fmt.Errorf("ca.sh: records are cut")
			}
			i++
			if err := splitRecords(text, records); err != nil {
				return nil, err
			}
		case "answer":
			var a caAnswer
			if a, i, err = parseCAAnswer(rest, lines, i); err != nil {
				return nil, err
			}
			reply.Answers = append(reply.Answers, a)
		default:
			return nil, fmt.Errorf("ca.sh: unexpected output %.60q", lines[i-1])
		}
	}
	for _, a := range reply.Answers {
		if data, ok := records[a.field("serial")]; ok && a.Verb == "certificate" {
			a.Files["certificate"] = data
		}
	}
	return reply, nil
}

func parseCAHead(line string) (*caReply, error) {
	f := strings.Split(line, " ")
	if len(f) != 4 || f[0] != "pgfleet-ca" || f[1] != "1" {
		return nil, fmt.Errorf("ca.sh: unexpected output %.60q", line)
	}
	seconds, err := strconv.ParseInt(f[2], 10, 64)
	if err != nil {
		return nil, fmt.Errorf("ca.sh: time %.20q is no number", f[2])
	}
	skew, err := strconv.ParseInt(f[3], 10, 32)
	if err != nil {
		return nil, fmt.Errorf("ca.sh: clock difference %.20q is no number", f[3])
	}
	return &caReply{Time: time.Unix(seconds, 0), Skew: time.Duration(skew) * time.Second}, nil
}

// parseCAAnswer reads from line i up to the answer's end, and gives the line after it.
func parseCAAnswer(head string, lines []string, i int) (caAnswer, int, error) {
	verb, state, _ := strings.Cut(head, " ")
	a := caAnswer{Verb: verb, Fields: map[string][]string{}, Files: map[string][]byte{}}
	if state != "ok" && state != "refused" {
		return a, i, fmt.Errorf("ca.sh: unexpected answer %.60q", head)
	}
	name := ""
	for ; i < len(lines); i++ {
		switch line := lines[i]; {
		case line == "end":
			if state == "refused" {
				if a.Refused = a.field("reason"); a.Refused == "" {
					a.Refused = "refused without a reason"
				}
			}
			return a, i + 1, nil
		case line == "":
		case line[0] == '|':
			a.Files[name] = append(append(a.Files[name], line[1:]...), '\n')
		default:
			var value string
			name, value, _ = strings.Cut(line, " ")
			a.Fields[name] = append(a.Fields[name], value)
		}
	}
	return a, i, fmt.Errorf("ca.sh: the answer to %s is cut", verb)
}

// splitRecords cuts the text of several records into their certificates, by serial number.
func splitRecords(text []byte, into map[string][]byte) error {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return nil
		}
		data := pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})
		certs, err := pki.ParseCertificates(data)
		if err != nil {
			return fmt.Errorf("ca.sh: record: %w", err)
		}
		into[pki.FormatSerial(certs[0].SerialNumber)] = data
		text = rest
	}
}
