package ssh

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// A socket that gives up at the context's own limit, a moment before the context does, is told as the context's reason; one that gives up by itself is not.
func TestCauseOf(t *testing.T) {
	reason := errors.New("no connection within 1ms")
	socket := &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
	for range 200 {
		ctx, cancel := context.WithTimeoutCause(context.Background(), time.Millisecond, reason)
		at, _ := ctx.Deadline()
		for time.Now().Before(at) {
		}
		if err := causeOf(ctx, socket); !errors.Is(err, reason) {
			t.Fatal(err)
		}
		cancel()
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), time.Hour, reason)
	defer cancel()
	if err := causeOf(ctx, socket); !errors.Is(err, socket) {
		t.Error(err)
	}
}
