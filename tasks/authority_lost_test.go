package tasks

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// TestLostAuthority looks at the empty folders of authorities on a host that was made anew: none is made that servers or clients know already.
func TestLostAuthority(t *testing.T) {
	w := loginWorld(t)
	for _, c := range []struct {
		name, subject, want string
	}{
		{"of clients", "CN=clients.example.net", "db1.example.net (cluster 15/main) has the certificate of CN=clients.example.net already"},
		{"root of servers", "CN=root-ca2", "app1.example.net (dbuser1 of app) has the certificate of CN=root-ca2 already"},
		{"new", "CN=clients G2", ""},
	} {
		ca := &Host{Name: "ca1.example.net", Roles: []string{"root_ca"}, View: &View{}, Fleet: w.fleet}
		all := maps.Clone(w.fleet.Authorities)
		all["lost"] = pki.Authority{Name: "lost", Host: ca.Name, Subject: c.subject, ValidFor: year}
		w.fleet.Authorities = all
		authority := task(t, "authority", map[string]any{"name": "lost"})
		for _, h := range []*Host{w.server, w.client} {
			h.View = &View{}
		}
		if change, err := w.check(ca, authority); err != nil || change == nil {
			t.Errorf("%s, nobody seen: %v, %v", c.name, change, err)
		}
		for h, probes := range map[*Host]Task{w.server: task(t, "trust", serverTrusts), w.client: task(t, "trust", clientTrust)} {
			if err := w.look(h, probes); err != nil {
				t.Fatal(err)
			}
		}
		change, err := authority.Check(context.Background(), ca)
		switch {
		case c.want == "" && (err != nil || change == nil):
			t.Errorf("%s: %v, %v", c.name, change, err)
		case c.want != "" && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "authority restore FILE")):
			t.Errorf("%s: %v, want it refused: %s", c.name, err, c.want)
		}
	}
}
