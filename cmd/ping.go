package cmd

import (
	"context"
	"errors"
	"strings"

	"github.com/pgfleet/pgfleet/cmd/printers"
	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
	"github.com/pgfleet/pgfleet/transport"
)

// pingProgram tells who acts and what is installed, one fact a line; a program that is not there gives an empty line.
const pingProgram = `id -un
openssl version 2>/dev/null || echo
psql --version 2>/dev/null || echo
`

// pingOne connects to one host: the time for connecting and logging in, that of a first look, and what is there.
func pingOne(ctx context.Context, sys *System, h *inventory.Host, dial playbooks.Dialer) *printers.Ping {
	begin := sys.Now()
	conn, err := dial(ctx, h)
	if errors.Is(err, context.Canceled) {
		return &printers.Ping{Error: "stopped while connecting"}
	}
	if err != nil {
		return &printers.Ping{Error: err.Error(), Hint: hintOf(err)}
	}
	defer conn.Close()
	connected := sys.Now()
	step := transport.Step{Key: "ping", Shell: pingProgram, Probe: true}
	if program := h.Target.Program; program != "" {
		step = transport.Step{Key: "ping", Argv: []string{program}, Stdin: []byte("ping\n"), Probe: true}
	}
	results, err := conn.Do(ctx, step)
	if err != nil {
		return &printers.Ping{Error: err.Error(), Hint: hintOf(err)}
	}
	answered := sys.Now()
	if len(results) != 1 || results[0].Err != nil {
		return &printers.Ping{Error: "connected, but the shell does not answer as it should"}
	}
	if h.Target.Program != "" {
		results[0].Stdout = append([]byte("its policy\n"), results[0].Stdout...)
	}
	facts := append(strings.Split(string(results[0].Stdout), "\n"), "", "", "")
	return &printers.Ping{OK: true, ConnectMS: connected.Sub(begin).Milliseconds(), FirstLookMS: answered.Sub(connected).Milliseconds(),
		ActsAs: facts[0], OpenSSL: second(facts[1]), Psql: last(facts[2])}
}

// second gives the second word: OpenSSL 3.0.15 3 Sep 2024.
func second(line string) string {
	if f := strings.Fields(line); len(f) > 1 {
		return f[1]
	}
	return ""
}

// last gives the version in: psql (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1).
func last(line string) string {
	_, rest, _ := strings.Cut(line, ") ")
	if f := strings.Fields(rest); len(f) > 0 {
		return f[0]
	}
	return ""
}
