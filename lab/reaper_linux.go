package lab

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// reaper starts the processes of a host and collects every one that ends: its own and those that lost their parent, which the kernel gives
// to the first process of a PID namespace.
type reaper struct {
	mu      sync.Mutex
	waiting map[int]chan syscall.WaitStatus
}

func newReaper() *reaper {
	r := &reaper{waiting: map[int]chan syscall.WaitStatus{}}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	go func() {
		for range ended {
			r.collect()
		}
	}()
	return r
}

func (r *reaper) collect() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if c, ok := r.waiting[pid]; ok {
			delete(r.waiting, pid)
			c <- status
		}
	}
}

// dropped are the capabilities that no process of a host has: they change the machine itself, its clock for one.
const dropped = "-sys_module,-sys_boot,-sys_time,-sys_rawio"

// start runs a program as root in a session of its own; its status arrives once.
func (r *reaper) start(argv []string, files []uintptr) (int, <-chan syscall.WaitStatus, error) {
	argv = append([]string{"/usr/bin/setpriv", "--bounding-set", dropped, "--"}, argv...)
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{
		Dir: "/", Env: cleanEnvironment(), Files: files, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, nil, fmt.Errorf("start %s: %w", argv[4], err)
	}
	status := make(chan syscall.WaitStatus, 1)
	r.waiting[pid] = status
	return pid, status, nil
}

// run starts a program with the keeper's log as output and waits for it.
func (r *reaper) run(argv ...string) error {
	_, status, err := r.start(argv, []uintptr{0, 1, 2})
	if err != nil {
		return err
	}
	if s := <-status; exitCode(s) != 0 {
		return fmt.Errorf("run %s: exit code %d", argv[0], exitCode(s))
	}
	return nil
}

// exitCode is the shell's: 128 and the signal where one ended the process.
func exitCode(s syscall.WaitStatus) int {
	if s.Signaled() {
		return 128 + int(s.Signal())
	}
	return s.ExitStatus()
}
