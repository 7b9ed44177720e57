package tasks

import (
	"math/big"
	"strings"
	"testing"
	"time"
)

// Sessions are those of the serial number and of the issuer; nobody else's are ended.
func TestSessionsOfACertificate(t *testing.T) {
	serial, _ := new(big.Int).SetString("4A3F9C0112345678901234567890AB", 16)
	ca := newGoCA(t, time.Now(), testAuthorities)
	h := &Host{Name: "db1", Fleet: &Fleet{CA: ca}}
	c := &Cluster{ID: "15/main", Sessions: []Session{
		{User: "dbuser1", Address: "10.0.0.1", Serial: serial.String(), Issuer: "/CN=clients.example.net"},
		{User: "dbuser1", Address: "10.0.0.2", Serial: serial.String(), Issuer: "/CN=intermediate.example.net"},
		{User: "dbuser1", Address: "10.0.0.3", Serial: "17", Issuer: "/CN=clients.example.net"},
		{User: "batch", Address: "10.0.0.4"},
	}}
	of := func(certificates ...string) []Session {
		got, err := task(t, "postgres_sessions", map[string]any{"certificates": anyList(certificates)}).(*postgresSessions).sessions(h, c)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := of("clients:4A3F9C0112345678901234567890AB"); len(got) != 1 || got[0].Address != "10.0.0.1" {
		t.Errorf("got %v", got)
	}
	if got := of(); len(got) != 0 {
		t.Errorf("of none: %v", got)
	}
	both := of("clients:4A3F9C0112345678901234567890AB", "clients:11")
	sql := endSQL(append(both, both...))
	if want := "where client_serial = " + serial.String() + " and issuer_dn = '/CN=clients.example.net' or client_serial = 17 and issuer_dn = '/CN=clients.example.net';\n"; !strings.Contains(sql, want) {
		t.Errorf("no %q in %s", want, sql)
	}
	if sql := endSQL([]Session{{Serial: "1", Issuer: "/CN=o'brien"}}); !strings.Contains(sql, "'/CN=o''brien'") {
		t.Error(sql)
	}
	if sql := endSQL([]Session{{Serial: "1", Issuer: "/CN=o'brien und M\uFFFDller"}}); !strings.Contains(sql, "client_serial = 1 and position(textsend('/CN=o''brien und M') in textsend(issuer_dn)) = 1") {
		t.Error(sql)
	}
}
