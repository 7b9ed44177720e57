package main

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// A process that a tool leaves behind is ended and waited for before the next begins.
func TestMeasureEndsOrphans(t *testing.T) {
	if err := adopt(); err != nil {
		t.Fatal(err)
	}
	before := childrenOf(os.Getpid())
	s, err := measure(t.Context(), exec.Command("sh", "-c", "setsid sh -c 'sleep 1000' & exit 0"))
	if err != nil {
		t.Fatal(err)
	}
	if left := childrenOf(os.Getpid()); !slices.Equal(left, before) {
		t.Errorf("children are %v, were %v", left, before)
	}
	if s.CPU <= 0 || s.Changed != -1 || s.RoundTrips != -1 {
		t.Errorf("measured %+v", s)
	}
	if _, err := measure(t.Context(), exec.Command("false")); err == nil {
		t.Error("a command that fails is no error")
	}
}

func TestParseStat(t *testing.T) {
	if got, want := parseStat("12 (a (b) c) S 1 1 1 0 -1 4194560 100 0 0 0 7 3 20 10 20 0 1 0 5\n"), 400*time.Millisecond; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := parseStat("12 (short) S 1"); got != 0 {
		t.Errorf("got %s of a short line", got)
	}
}
