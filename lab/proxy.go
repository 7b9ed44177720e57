package lab

import (
	"net"
	"sync"
	"time"
)

// delayed forwards connections as if the other end were rtt away: each direction arrives rtt/2 late, in order, as fast as it was
// sent; the first byte waits for the handshake's round trip too. It ends with the listener.
func delayed(l net.Listener, target string, rtt time.Duration) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go forward(c, target, rtt)
	}
}

func forward(near net.Conn, target string, rtt time.Duration) {
	defer near.Close()
	stop := make(chan struct{})
	defer close(stop)
	// The caller is connected as soon as its SYN is here; across the distance it would be a round trip later, and the other end
	// half of one after that.
	time.Sleep(rtt)
	out := underWay(near, rtt/2, stop)
	time.Sleep(rtt / 2)
	far, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer far.Close()
	back := underWay(far, rtt/2, stop)
	var both sync.WaitGroup
	both.Go(func() { arrive(far, near, out) })
	both.Go(func() { arrive(near, far, back) })
	both.Wait()
}

// chunk is bytes and when they arrive.
type chunk struct {
	data []byte
	due  time.Time
}

// underWay reads until the end, an error or stop; up to 256 chunks of 32 KiB are under way at once.
func underWay(from net.Conn, delay time.Duration, stop <-chan struct{}) <-chan chunk {
	way := make(chan chunk, 256)
	go func() {
		defer close(way)
		for {
			data := make([]byte, 32<<10)
			n, err := from.Read(data)
			select {
			case way <- chunk{data[:n], time.Now().Add(delay)}:
			case <-stop:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return way
}

// arrive writes chunks when they are due, then ends the writing side; where the receiver is gone, the sender learns it.
func arrive(to, from net.Conn, way <-chan chunk) {
	for c := range way {
		time.Sleep(time.Until(c.due))
		if _, err := to.Write(c.data); err != nil {
			from.Close()
			return
		}
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}
