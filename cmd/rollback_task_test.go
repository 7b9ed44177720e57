package cmd

import (
	"errors"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/tasks"
)

// The runs that can be put back are those of all clusters that were not put back yet, oldest first: without --run it is the last of them; a run that nothing is kept of is refused with those that there are.
func TestRunToPutBack(t *testing.T) {
	clusters := []*tasks.Cluster{
		{Copies: []tasks.Copy{{Run: "20261120T080000Z-aa", State: "proved"}, {Run: "20261123T080000Z-cc", State: "unproved"}, {Run: "20261124T080000Z-dd", State: "undone"}}},
		{Copies: []tasks.Copy{{Run: "20261122T080000Z-bb", State: "proved"}}},
	}
	if got := strings.Join(keptRuns(clusters), " "); got != "20261120T080000Z-aa 20261122T080000Z-bb 20261123T080000Z-cc" {
		t.Errorf("can be put back: %s", got)
	}
	err := (&rollbackTask{run: "20261101T080000Z-xx"}).noCopy(clusters)
	if !errors.Is(err, tasks.ErrRefused) || !strings.HasSuffix(err.Error(), "--run takes one of: 20261120T080000Z-aa, 20261122T080000Z-bb, 20261123T080000Z-cc, or first") {
		t.Errorf("a run of which nothing is kept: %v", err)
	}
	if err := (&rollbackTask{}).noCopy(nil); !errors.Is(err, tasks.ErrRefused) || !strings.Contains(err.Error(), "no run changed this server") {
		t.Errorf("a server that no run has changed: %v", err)
	}
}
