package lab

import (
	"bytes"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// In a bubble time passes only when all wait: the delay is seen exactly.
func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caller, near := net.Pipe()
		far, called := net.Pipe()
		stop := make(chan struct{})
		way := underWay(near, 10*time.Millisecond, stop)
		go arrive(far, near, way)
		began := time.Now()
		go func() {
			caller.Write([]byte("first"))
			time.Sleep(time.Millisecond)
			caller.Write([]byte("second"))
			caller.Close()
		}()
		for _, want := range []struct {
			text  string
			after time.Duration
		}{{"first", 10 * time.Millisecond}, {"second", 11 * time.Millisecond}} {
			got := make([]byte, 64)
			n, err := called.Read(got)
			if err != nil || string(got[:n]) != want.text || time.Since(began) != want.after {
				t.Errorf("got %q, %v after %s, want %q after %s", got[:n], err, time.Since(began), want.text, want.after)
			}
		}
		close(stop)
		called.Close()
	})
}

// All bytes arrive, in order, both ways, and so does the end of each way.
func TestForward(t *testing.T) {
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	go func() {
		for {
			c, err := target.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	go delayed(proxy, target.Addr().String(), 2*time.Millisecond)
	c, err := net.Dial("tcp", proxy.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sent := make([]byte, 20<<20)
	for i := range sent {
		sent[i] = byte(i * 7 >> 3)
	}
	go func() {
		c.Write(sent)
		c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d of %d bytes, %v", len(got), len(sent), err)
	}
}

// Where nobody listens behind the proxy, the caller's connection ends.
func TestForwardNowhere(t *testing.T) {
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	go delayed(proxy, "127.0.0.1:1", time.Millisecond)
	c, err := net.Dial("tcp", proxy.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d, %v", n, err)
	}
}
