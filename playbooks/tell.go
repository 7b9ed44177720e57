package playbooks

import (
	"sync"
	"time"

	"github.com/pgfleet/pgfleet/playbooks/events"
)

// teller numbers events and hands them to the sink, one at a time.
type teller struct {
	mu   sync.Mutex
	seq  int64
	run  string
	now  func() time.Time
	sink events.Sink
}

func (t *teller) tell(e events.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seq++
	e.V, e.Seq, e.Run, e.Time = events.Version, t.seq, t.run, t.now().UTC()
	if t.sink != nil {
		t.sink(e)
	}
}
