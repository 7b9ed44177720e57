package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"strings"

	"github.com/pgfleet/pgfleet/lab"
)

// Every tool leaves the same for its users: on each client, in the file ~/.pg_service.conf of the OS user postgres, a service "dbuser1@db1"
// for each server. What is tested starts there, so the same tests are made of every tool's work, wherever it has put its files.

//go:embed verify_client.sh
var clientScript string

//go:embed verify_server.sh
var serverScript string

// proof is one connection test; its settings are added to the service's.
type proof struct {
	name, settings string
	refused        bool
}

var proofs = []proof{
	{name: "login", settings: "sslmode=verify-full"},
	{name: "no certificate", settings: "sslcert=/nonexistent sslkey=/nonexistent", refused: true},
	{name: "no TLS", settings: "sslmode=disable", refused: true},
	{name: "another user", settings: "user=postgres", refused: true},
}

// verify says everything that is not as it has to be: from every client to every server, and the servers' settings.
func (f *fleet) verify(ctx context.Context) error {
	servers, clients := f.of(lab.DBServer), f.of(lab.Client)
	return errors.Join(
		each(servers, 2*runtime.NumCPU(), func(h lab.Host) error { return f.verifyServer(ctx, h) }),
		each(clients, runtime.NumCPU(), func(h lab.Host) error { return f.verifyClient(ctx, h, servers) }),
	)
}

// verifyServer looks at what no client sees: the list of revoked certificates is in force, keys are private.
func (f *fleet) verifyServer(ctx context.Context, h lab.Host) error {
	out, err := f.lab.Exec(ctx, h.Short, []string{"sh", "-c", serverScript}, nil)
	if err != nil {
		return err
	}
	if text := strings.TrimSpace(out.Stdout + out.Stderr); out.Code != 0 || text != "as wanted" {
		return fmt.Errorf("%s: %s", h.Short, text)
	}
	return nil
}

func (f *fleet) verifyClient(ctx context.Context, client lab.Host, servers []lab.Host) error {
	var in strings.Builder
	for _, s := range servers {
		for _, p := range proofs {
			fmt.Fprintf(&in, "service=dbuser1@%s dbname=postgres connect_timeout=10 %s\n", s.Short, p.settings)
		}
	}
	argv := []string{"runuser", "-u", "postgres", "--", "env", "HOME=/var/lib/postgresql", "sh", "-c", clientScript}
	out, err := f.lab.Exec(ctx, client.Short, argv, strings.NewReader(in.String()))
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(out.Stdout), "\n")
	if out.Code != 0 || len(lines) != 1+len(servers)*len(proofs) {
		return fmt.Errorf("%s: exit code %d: %s%s", client.Short, out.Code, out.Stdout, out.Stderr)
	}
	var errs []error
	for i, line := range lines[1:] {
		p := proofs[i%len(proofs)]
		if err := p.judge(line, lines[0]); err != nil {
			errs = append(errs, fmt.Errorf("%s to %s, %s: %w", client.Short, servers[i/len(proofs)].Short, p.name, err))
		}
	}
	return errors.Join(errs...)
}

// judge reads "exit-code output"; serial is that of the client's certificate, in hexadecimal.
func (p proof) judge(line, serial string) error {
	code, text, _ := strings.Cut(line, " ")
	if p.refused {
		// The server's own refusal, or its wish for a password that nobody has: not a server that did not answer.
		if code == "2" && (strings.Contains(text, "FATAL:") || strings.Contains(text, "no password supplied")) {
			return nil
		}
		return fmt.Errorf("got %q, want a refusal", line)
	}
	number, ok := new(big.Int).SetString(serial, 16)
	if !ok {
		return fmt.Errorf("serial %q of the client's certificate is none", serial)
	}
	if want := fmt.Sprintf("dbuser1|t|%s|/CN=dbuser1", number); code != "0" || text != want {
		return fmt.Errorf("got %q, want %q", line, "0 "+want)
	}
	return nil
}
