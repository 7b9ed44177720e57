package printers

import (
	"fmt"
	"io"
)

// KeyState says what known_hosts has to say of a key that a host presents.
type KeyState string

// The states of a key.
const (
	KeyNew      KeyState = "new"      // nothing is recorded for this host
	KeyRecorded KeyState = "recorded" // this key is recorded
	KeyChanged  KeyState = "changed"  // another key is recorded
)

// HostKey is a key that a host presents.
type HostKey struct {
	Type string `json:"type"`
	// Fingerprint as ssh-keygen -l writes it: SHA256:…
	Fingerprint string   `json:"fingerprint"`
	State       KeyState `json:"state"`
}

// HostKeys is what one host presents, or why it does not.
type HostKeys struct {
	Host string `json:"host"`
	// Address is how known_hosts calls it: name, or [name]:port.
	Address string    `json:"address"`
	Keys    []HostKey `json:"keys"`
	Error   string    `json:"error,omitempty"`
	Hint    string    `json:"hint,omitempty"`
}

// Keys prints the keys of hosts as a table, and below it what stands in the way of those that presented none.
func Keys(out io.Writer, s Style, hosts []HostKeys) {
	t := table{header: []string{"host", "known as", "type", "fingerprint", "state"}}
	states := map[KeyState]string{KeyNew: yellow, KeyRecorded: green, KeyChanged: red}
	for _, h := range hosts {
		for _, k := range h.Keys {
			t.add(plain(h.Host), plain(h.Address), plain(Clean(k.Type)), plain(k.Fingerprint), cell{string(k.State), states[k.State]})
		}
	}
	if len(t.rows) > 0 {
		t.print(out, s)
	}
	for _, h := range hosts {
		if h.Error == "" {
			continue
		}
		fmt.Fprintf(out, "%s %s\n", s.paint(red, h.Host+":"), oneLine(h.Error))
		if h.Hint != "" {
			fmt.Fprintf(out, "%s %s\n", s.paint(cyan, "hint:"), oneLine(h.Hint))
		}
	}
}
