package lab

import "context"

// Reset throws away all changes of the named hosts, all when none is named: each starts again, fresh, with its address and host keys.
// A standby comes back as a server of its own, unless all hosts are reset.
func (l *Lab) Reset(ctx context.Context, hosts ...string) error {
	if err := l.ask(ctx, askReset, hosts); err != nil || len(hosts) > 0 {
		return err
	}
	return l.makeStandbys(ctx, Options{})
}

// Stop turns hosts off as a power cut does; their files are kept. Nothing waits or flushes.
func (l *Lab) Stop(ctx context.Context, hosts ...string) error { return l.ask(ctx, askStop, hosts) }

// Start turns stopped hosts on, with the files that they had.
func (l *Lab) Start(ctx context.Context, hosts ...string) error { return l.ask(ctx, askStart, hosts) }

// What callers ask a keeper for.
const (
	askStatus = "status"
	askReset  = "reset"
	askStop   = "stop"
	askStart  = "start"
)
