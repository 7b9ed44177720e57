package cmd

import (
	"errors"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/tasks"
)

// Without --run the newest run of all clusters is put back that was not put back yet; a run that nothing is kept of is refused with those that there are.
func TestRunToPutBack(t *testing.T) {
	clusters := []*tasks.Cluster{
		{Copies: []tasks.Copy{{Run: "20261120T080000Z-aa", State: "proved"}, {Run: "20261123T080000Z-cc", State: "unproved"}, {Run: "20261124T080000Z-dd", State: "undone"}}},
		{Copies: []tasks.Copy{{Run: "20261122T080000Z-bb", State: "proved"}}},
	}
	if got := lastRun(clusters); got != "20261123T080000Z-cc" {
		t.Errorf("put back is %s", got)
	}
	if got := lastRun([]*tasks.Cluster{{Copies: []tasks.Copy{{Run: "20261124T080000Z-dd", State: "undone"}}}}); got != "" {
		t.Errorf("what was put back is put back again: %s", got)
	}
	err := (&rollbackTask{run: "20261101T080000Z-xx"}).noCopy(clusters)
	if !errors.Is(err, tasks.ErrRefused) || !strings.HasSuffix(err.Error(), "--run takes one of: 20261120T080000Z-aa, 20261123T080000Z-cc, 20261122T080000Z-bb") {
		t.Errorf("a run of which nothing is kept: %v", err)
	}
	if err := (&rollbackTask{}).noCopy(nil); !errors.Is(err, tasks.ErrRefused) || !strings.Contains(err.Error(), "no run changed this server") {
		t.Errorf("a server that no run has changed: %v", err)
	}
}
