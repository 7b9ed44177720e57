package printers

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Hosts that take long are named once; not while somebody is asked, and not those that have answered.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said []string
		p := &Patience{Say: func(text string) { said = append(said, text) }}
		wait := func(d time.Duration, want ...string) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if !slices.Equal(said, want) {
				t.Errorf("said %q, want %q", said, want)
			}
		}
		p.Dialling("ca1", time.Minute)
		p.Dialled("ca1", nil)
		wait(10 * time.Second)
		p.Dialling("db2", 15*time.Second)
		p.Dialling("db1", 10*time.Second)
		wait(time.Second)
		p.Dialling("db3", 5*time.Second)
		first := "waiting for db1, db2 (at most 15s) …"
		wait(time.Second, first)
		p.During(func() { wait(10*time.Second, first) })
		wait(2*time.Second, first, "waiting for db3 (at most 5s) …")
		wait(10*time.Second, first, "waiting for db3 (at most 5s) …")
	})
}
