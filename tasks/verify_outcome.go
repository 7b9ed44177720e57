package tasks

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// outcome is how a connection test ended, in words that the user reads.
type outcome string

// The outcomes that pgfleet tells apart. Texts are those of libpq 12 to 18 and OpenSSL 1.1.1 and 3.0 (POSTGRES_TLS 2.3, 2.6, 2.8).
const (
	connects        outcome = "connects"
	noPassword      outcome = "refused: password wanted"
	wrongPassword   outcome = "refused: password authentication failed"
	certAuthFailed  outcome = "refused: certificate authentication failed"
	certWanted      outcome = "refused: client certificate wanted"
	ruleRefuses     outcome = "refused: pg_hba.conf"
	serverUntrusted outcome = "refused: server certificate not trusted"
	nameDiffers     outcome = "refused: host name does not match"
	certRevoked     outcome = "refused: certificate revoked"
	certExpired     outcome = "refused: certificate or CRL expired"
	caUnknown       outcome = "refused: unknown CA"
	certUnsupported outcome = "refused: certificate not fit for this use"
	otherAlert      outcome = "refused: TLS alert"
	noTLS           outcome = "refused: server offers no TLS"
	keyFile         outcome = "refused by libpq: key file"
	localFile       outcome = "refused by libpq: file missing or broken"
	roleMissing     outcome = "refused: no such role"
	roleRefused     outcome = "refused: no such role, or it may not log in"
	databaseMissing outcome = "refused: no such database"
	databaseClosed  outcome = "refused: no right to connect to that database"
	loginForbidden  outcome = "refused: role may not log in"
	notReplicating  outcome = "refused: role may not replicate"
	tooMany         outcome = "refused: too many connections"
	startingUp      outcome = "refused: server is starting or stopping"
	cannotReach     outcome = "cannot connect"
	nameUnknown     outcome = "cannot connect: name does not resolve"
	serviceMissing  outcome = "refused by libpq: no such service"
	channelBinding  outcome = "refused by libpq: channel binding"
	otherFatal      outcome = "refused"
)

// outcomes by what psql prints, the first that fits counts.
var outcomes = []struct {
	text string
	is   outcome
}{
	{"does not match host name", nameDiffers},
	{"server does not support SSL", noTLS},
	{"alert certificate revoked", certRevoked},
	{"alert certificate expired", certExpired},
	{"alert unknown ca", caUnknown},
	{"alert unsupported certificate", certUnsupported},
	{"certificate verify failed", serverUntrusted},
	{"connection requires a valid client certificate", certWanted},
	{"certificate authentication failed", certAuthFailed},
	{"no password supplied", noPassword},
	{"password authentication failed", wrongPassword},
	{"pg_hba.conf rejects", ruleRefuses},
	{"no pg_hba.conf entry", ruleRefuses},
	{"is not permitted to log in", loginForbidden},
	{"to start walsender", notReplicating},
	{"to start WAL sender", notReplicating},
	{"too many connections", tooMany},
	{"too many clients", tooMany},
	{"remaining connection slots", tooMany},
	{"the database system is", startingUp},
	{"channel binding", channelBinding},
	{"private key file", keyFile},
	{"could not load private key", keyFile},
	{"definition of service", serviceMissing},
	{"root certificate file", localFile},
	{"certificate file", localFile},
	{"service file", localFile},
	{"could not translate host name", nameUnknown},
	{"Connection refused", cannotReach},
	{"timeout expired", cannotReach},
	{"timed out", cannotReach},
	{"No route to host", cannotReach},
	{"Network is unreachable", cannotReach},
	{"SSL error", otherAlert},
	{"permission denied for database", databaseClosed},
	{"FATAL:  database ", databaseMissing},
	{"FATAL:  role ", roleMissing},
	{"pg_hba.conf", ruleRefuses}, // in whichever language the server says it
}

// classify tells from psql's exit code and text how a connection ended.
func classify(code int, text string) outcome {
	if code == 0 {
		return connects
	}
	for _, o := range outcomes {
		if strings.Contains(text, o.text) {
			return o.is
		}
	}
	return otherFatal
}

// afterTLS: outcomes that only a server reached through a finished, verified handshake can give.
var afterTLS = []outcome{connects, noPassword, wrongPassword, certAuthFailed, certWanted, ruleRefuses, roleMissing,
	roleRefused, databaseMissing, databaseClosed, loginForbidden, notReplicating, tooMany}

// tried is one test's answer from verify.sh.
type tried struct {
	id   string
	code int
	text string
}

// parseTried reads what verify.sh prints. An answer that was cut off is an error, not an outcome.
func parseTried(out []byte) ([]tried, error) {
	var list []tried
	for len(out) > 0 {
		line, rest, ok := bytes.Cut(out, []byte("\n"))
		fields := strings.Fields(string(line))
		if !ok || len(fields) != 3 {
			return list, fmt.Errorf("read connection tests: line %q is not \"id code length\"", clip(string(line)))
		}
		code, err1 := strconv.Atoi(fields[1])
		size, err2 := strconv.Atoi(fields[2])
		if err1 != nil || err2 != nil || size < 0 || size+1 > len(rest) || rest[size] != '\n' {
			return list, fmt.Errorf("read connection tests: answer of %q is cut off", clip(fields[0]))
		}
		list = append(list, tried{id: fields[0], code: code, text: string(rest[:size])})
		out = rest[size+1:]
	}
	return list, nil
}

// clip shortens a text for a message.
func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}

// lastLine gives what matters of psql's error: what stands after the last "connection to server at … failed:", without libpq's advice on the
// lines below; else the last line.
func lastLine(text string) string {
	text = strings.TrimSpace(text)
	for _, line := range slices.Backward(strings.Split(text, "\n")) {
		if _, after, ok := strings.Cut(line, " failed: "); ok && strings.Contains(line, "connection to server ") {
			return after
		}
	}
	if i := strings.LastIndexByte(text, '\n'); i >= 0 {
		text = text[i+1:]
	}
	return strings.TrimPrefix(text, "psql: error: ")
}
