package printers

import (
	"fmt"
	"io"
	"strings"

	"github.com/pgfleet/pgfleet/playbooks/events"
)

// HostRow is one host of the inventory, as hosts -o json prints it.
type HostRow struct {
	Host    string   `json:"host"`
	Address string   `json:"address"`
	Port    int      `json:"port"`
	User    string   `json:"user"`
	Become  bool     `json:"become"`
	Roles   []string `json:"roles"`
	Groups  []string `json:"groups"`
	// Ping is set when the host was to be reached.
	Ping *Ping `json:"ping,omitempty"`
}

// Ping is what came of reaching a host.
type Ping struct {
	OK bool `json:"ok"`
	// ConnectMS: dial, handshake, login. FirstLookMS: one command after that.
	ConnectMS   int64  `json:"connect_ms,omitempty"`
	FirstLookMS int64  `json:"first_look_ms,omitempty"`
	ActsAs      string `json:"acts_as,omitempty"`
	OpenSSL     string `json:"openssl,omitempty"`
	Psql        string `json:"psql,omitempty"`
	Error       string `json:"error,omitempty"`
	Hint        string `json:"hint,omitempty"`
}

// Hosts prints hosts as a table, and below it what stands in the way of those that were not reached.
func Hosts(out io.Writer, s Style, rows []HostRow, pinged bool) {
	t := table{header: []string{"host", "address", "user", "roles"}}
	if pinged {
		t.header = []string{"host", "address", "user", "reached", "connect", "first look", "acts as", "openssl", "psql"}
	}
	for _, r := range rows {
		address := r.Address
		if r.Port != 22 {
			address = fmt.Sprintf("%s port %d", r.Address, r.Port)
		}
		row := []cell{plain(r.Host), plain(address), plain(r.User)}
		if !pinged {
			t.add(append(row, plain(strings.Join(r.Roles, ", ")))...)
			continue
		}
		if !r.Ping.OK {
			t.add(append(row, cell{"no", red})...)
			continue
		}
		t.add(append(row, cell{"yes", green}, plain(fmt.Sprintf("%d ms", r.Ping.ConnectMS)), plain(fmt.Sprintf("%d ms", r.Ping.FirstLookMS)),
			plain(Clean(r.Ping.ActsAs)), plain(dash(Clean(r.Ping.OpenSSL))), plain(dash(Clean(r.Ping.Psql))))...)
	}
	t.print(out, s)
	for _, r := range rows {
		if r.Ping == nil || r.Ping.OK {
			continue
		}
		fmt.Fprintf(out, "\n%s %s\n", s.paint(red, r.Host+":"), because(events.Unreachable, ofHost(r.Host, oneLine(r.Ping.Error))))
		if r.Ping.Hint != "" {
			fmt.Fprintf(out, "%s %s\n", s.paint(cyan, "hint:"), oneLine(r.Ping.Hint))
		}
	}
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
