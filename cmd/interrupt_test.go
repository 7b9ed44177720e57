package cmd

import (
	"context"
	"os"
	"reflect"
	"syscall"
	"testing"
)

// The first signal lets the work under way finish, the second stops it; both are real signals to this process.
func TestInterrupts(t *testing.T) {
	said := make(chan string, 4)
	restored := make(chan struct{}, 1)
	ctx, i, release := watchInterrupts(context.Background(), func(text string) { said <- text }, func() { restored <- struct{}{} })
	defer release()
	me, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if i.came() {
		t.Error("a signal came before there was one")
	}
	if err := me.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-i.stop
	if ctx.Err() != nil || !i.came() {
		t.Errorf("after the first: context %v, came %v", ctx.Err(), i.came())
	}
	if err := me.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	<-restored
	got := []string{<-said, <-said}
	want := []string{"finishing the steps under way; Ctrl-C again stops now", "stopping now"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("said %q", got)
	}
}
