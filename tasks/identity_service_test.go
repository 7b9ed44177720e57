package tasks

import (
	"slices"
	"testing"
)

// TestServicesOrder: a server's services stand in one order, whichever of its clusters was started first.
func TestServicesOrder(t *testing.T) {
	t.Parallel()
	for _, found := range [][]string{{"15/main", "15/second"}, {"15/second", "15/main"}} {
		server := &Host{Name: "db1.example.net", Roles: []string{"db_server"}, View: &View{}}
		fleet := &Fleet{Hosts: map[string]*Host{server.Name: server}}
		server.Fleet = fleet
		var clusters []*Cluster
		for _, id := range found {
			clusters = append(clusters, &Cluster{ID: id, Port: map[string]int{"15/main": 5432, "15/second": 5433}[id]})
		}
		if _, err := server.View.once(KeyPostgres, func() (any, error) { return clusters, nil }); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, s := range serverServices(fleet, server, &identityState{ID: Identity{DBUser: "u"}}) {
			names = append(names, s.Name)
			if s.Port != map[string]int{"u@db1/15/main": 5432, "u@db1/15/second": 5433}[s.Name] {
				t.Errorf("%s has port %d", s.Name, s.Port)
			}
		}
		if !slices.Equal(names, []string{"u@db1/15/main", "u@db1/15/second"}) {
			t.Errorf("found as %q: %q", found, names)
		}
	}
}
