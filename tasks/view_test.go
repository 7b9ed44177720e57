package tasks

import (
	"errors"
	"sync"
	"testing"

	"github.com/pgfleet/pgfleet/transport"
)

// TestOnce: what was read of a key is read anew after a look, and after a change that is foreseen, and only then; other keys do not matter.
func TestOnce(t *testing.T) {
	var v View
	reads := 0
	read := func() string {
		got, err := v.once("a", func() (any, error) {
			reads++
			r, err := v.Get("a")
			if err != nil {
				return "", err
			}
			text := string(r.Stdout)
			v.Foreseen("a", &text)
			return text, nil
		})
		if err != nil {
			return "pending"
		}
		return got.(string)
	}
	put := func(key, text string) func() {
		return func() { v.Put(transport.Result{Key: key, Stdout: []byte(text)}) }
	}
	for i, c := range []struct {
		do    func()
		want  string
		reads int
	}{
		{func() {}, "pending", 1},
		{put("a", "x"), "x", 2},
		{put("b", "y"), "x", 2},
		{func() { v.Foresee("a", func(seen any) { *seen.(*string) += " to be" }) }, "x to be", 3},
		{func() { v.Foresee("b", nil) }, "x to be", 3},
		{func() { v.Foresee("a", nil) }, "pending", 4},
		{put("a", "z"), "z", 5},
	} {
		c.do()
		for range 3 {
			if got := read(); got != c.want || reads != c.reads {
				t.Errorf("%d: %q after %d reads, want %q after %d", i, got, reads, c.want, c.reads)
			}
		}
	}
}

// TestOnceStale: what was made of a look that is not the last one any more when it is done is not kept.
func TestOnceStale(t *testing.T) {
	var v View
	begun, goOn := make(chan bool), make(chan bool)
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = v.once("a", func() (any, error) {
			close(begun)
			<-goOn
			return nil, errors.New("old")
		})
	})
	<-begun
	v.Put(transport.Result{Key: "a"})
	close(goOn)
	wg.Wait()
	if got, err := v.once("a", func() (any, error) { return "new", nil }); err != nil || got != "new" {
		t.Error(got, err)
	}
}
