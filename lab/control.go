package lab

import "context"

// Reset throws away all changes of the named hosts, all when none is named: each starts again, fresh, with its address and host keys.
func (l *Lab) Reset(ctx context.Context, hosts ...string) error { return l.ask(ctx, askReset, hosts) }

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
