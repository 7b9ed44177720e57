package playbooks

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestUsedBy: the clients found for all servers at once are those that a search for one finds.
func TestUsedBy(t *testing.T) {
	w := newWorld(t)
	fleet := newFleet(&Plan{Inventory: w.inv}, "r", w.now, RunOptions{})
	found := 0
	index := fleet.UsedBy
	for name := range fleet.Hosts {
		var got, want []string
		for _, h := range index[name] {
			got = append(got, h.Name)
		}
		fleet.UsedBy = nil
		for _, h := range fleet.Clients(name) {
			want = append(want, h.Name)
		}
		found += len(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if found != 2 {
		t.Errorf("%d clients found", found)
	}
}
