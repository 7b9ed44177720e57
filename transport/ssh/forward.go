package ssh

import (
	"net"
	"os"
	"sync"
	"time"
)

// deadlineConn is a forwarded connection with deadlines, which x/crypto/ssh does not have: a deadline that passes ends it.
type deadlineConn struct {
	net.Conn
	mu     sync.Mutex
	timers [2]*time.Timer
	over   bool
}

// SetDeadline limits reads and writes that follow; the zero time lifts the limit.
func (d *deadlineConn) SetDeadline(t time.Time) error {
	d.set(0, t)
	d.set(1, t)
	return nil
}

// SetReadDeadline limits reads.
func (d *deadlineConn) SetReadDeadline(t time.Time) error {
	d.set(0, t)
	return nil
}

// SetWriteDeadline limits writes.
func (d *deadlineConn) SetWriteDeadline(t time.Time) error {
	d.set(1, t)
	return nil
}

func (d *deadlineConn) set(i int, t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timers[i] != nil {
		d.timers[i].Stop()
		d.timers[i] = nil
	}
	if !t.IsZero() {
		d.timers[i] = time.AfterFunc(time.Until(t), d.expire)
	}
}

func (d *deadlineConn) expire() {
	d.mu.Lock()
	d.over = true
	d.mu.Unlock()
	d.Conn.Close()
}

func (d *deadlineConn) cause(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil && d.over {
		return os.ErrDeadlineExceeded
	}
	return err
}

// Read reads; os.ErrDeadlineExceeded after the deadline.
func (d *deadlineConn) Read(b []byte) (int, error) {
	n, err := d.Conn.Read(b)
	return n, d.cause(err)
}

// Write writes; os.ErrDeadlineExceeded after the deadline.
func (d *deadlineConn) Write(b []byte) (int, error) {
	n, err := d.Conn.Write(b)
	return n, d.cause(err)
}

// Close ends the connection and its deadlines.
func (d *deadlineConn) Close() error {
	d.set(0, time.Time{})
	d.set(1, time.Time{})
	return d.Conn.Close()
}
