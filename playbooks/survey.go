package playbooks

import (
	"context"
	"sync"
	"time"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/tasks/survey"
	"github.com/pgfleet/pgfleet/transport"
)

// Survey looks at the certificates, keys and lists of some hosts, and changes nothing: one round trip a host. Hosts that could not be looked at are among the Unseen of
// what it gives, and decide the exit code of the Outcome. The error is Run's.
func Survey(ctx context.Context, inv *inventory.Inventory, hosts []*inventory.Host, opt RunOptions) (*survey.Fleet, *Outcome, error) {
	task := &surveyTask{}
	plan := &Plan{Playbook: "survey", Hosts: hosts, Inventory: inv}
	play := PlannedPlay{Name: "Survey", Tasks: map[string][]PlannedTask{}}
	batch := make([]string, len(hosts))
	for i, h := range hosts {
		batch[i] = h.Name
		play.Tasks[h.Name] = []PlannedTask{{Kind: "survey", Task: task}}
	}
	play.Batches = [][]string{batch}
	plan.Plays = []PlannedPlay{play}

	hints := map[string]string{}
	told := opt.Sink
	opt.Check = true
	opt.Sink = func(e events.Event) {
		if e.Type == events.Host {
			hints[e.Host] = e.Hint
		}
		if told != nil {
			told(e)
		}
	}
	out, err := Run(ctx, plan, opt)
	if err != nil {
		return nil, out, err
	}
	fleet := task.fleet
	if fleet == nil { // no host was reached
		if opt.Now == nil {
			opt.Now = time.Now
		}
		fleet = newFleet(plan, out.Run, opt.Now(), opt)
		fleet.CA = tasks.NewAuthorities(fleet.Authorities, func(string) *tasks.View { return nil }, nil, opt.Now) // reads files of this machine
	}
	var looked []string
	var unseen []survey.Unseen
	for _, h := range hosts {
		result := out.Hosts[h.Name]
		if result.Kind == events.OK {
			looked = append(looked, h.Name)
			continue
		}
		unseen = append(unseen, survey.Unseen{Host: h.Name, Reason: result.Reason, Hint: hints[h.Name], Unreachable: result.Kind == events.Unreachable})
	}
	seen := tasks.SurveyFacts(fleet, looked)
	seen.Unseen = append(unseen, seen.Unseen...)
	return seen, out, nil
}

// surveyTask looks, and finds nothing to do. It keeps what the run knows of its fleet.
type surveyTask struct {
	once  sync.Once
	fleet *tasks.Fleet
}

// Needs gives the probes of certificates, keys and lists.
func (t *surveyTask) Needs(h *tasks.Host) []transport.Step { return tasks.SurveyProbes(h) }

// Check asks for nothing.
func (t *surveyTask) Check(_ context.Context, h *tasks.Host) (*tasks.Change, error) {
	t.once.Do(func() { t.fleet = h.Fleet })
	return nil, nil
}
