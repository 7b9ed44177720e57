package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/bench/scale/fleet"
)

// sample is one run of pgfleet, and what the hosts saw of it.
type sample struct {
	Name  string
	Hosts int
	Wall  time.Duration
	// CPU is pgfleet's, Simulator that of the hosts and of the authorities' programs, in the same time on the same cores.
	CPU, Simulator time.Duration
	// Memory is the peak resident set in bytes, Files the most open ones seen.
	Memory int64
	Files  int
	Exit   int
	Output int
	Counts fleet.Counts
	// Lines of standard output, and when each came.
	Lines []line
	Err   string
}

type line struct {
	at   time.Duration
	text string
}

func (s sample) perHost() time.Duration { return s.Wall / time.Duration(s.Hosts) }

func (s sample) cpuPerHost() time.Duration { return s.CPU / time.Duration(s.Hosts) }

// measure runs pgfleet on a fleet to its end. wrap, if not empty, is a shell's command line that runs "$@".
func (b *bench) measure(f *fleet.Fleet, name string, hosts int, wrap string, args ...string) (sample, error) {
	s := sample{Name: name, Hosts: hosts}
	program, err := filepath.Abs(b.program)
	if err != nil {
		return s, err
	}
	words := append([]string{program, args[0], "-i", f.Inventory()}, args[1:]...)
	if wrap != "" {
		words = append([]string{"/bin/sh", "-c", wrap, "sh"}, words...)
	}
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Env = append(os.Environ(), "HOME="+filepath.Dir(f.Inventory()), "NO_COLOR=1")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return s, err
	}
	f.Reset()
	before, began := selfCPU(), time.Now()
	if err := cmd.Start(); err != nil {
		return s, err
	}
	watched := make(chan struct{})
	go func() { s.watch(cmd.Process.Pid); close(watched) }()
	s.read(out, began)
	err = cmd.Wait()
	s.Wall, s.CPU, s.Exit = time.Since(began), cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime(), cmd.ProcessState.ExitCode()
	<-watched
	s.Simulator = selfCPU() - before - s.CPU
	unknown := ""
	if s.Counts, unknown = f.Counts(); unknown != "" {
		return s, fmt.Errorf("%s: the model does not know what a host was asked: %s", name, unknown)
	}
	s.Err = strings.TrimSpace(errs.String())
	fmt.Fprintf(b.progress, "%-32s %5d hosts %8.2f s, CPU %7.2f s, %5d MiB, %5d files, exit %d\n", name, hosts, s.Wall.Seconds(), s.CPU.Seconds(), s.Memory>>20, s.Files, s.Exit)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = nil
	}
	return s, err
}

func (s *sample) read(out io.Reader, began time.Time) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		s.Output += len(lines.Bytes()) + 1
		s.Lines = append(s.Lines, line{time.Since(began), lines.Text()})
	}
}

// watch reads proc(5) until the process has ended. Its own peak (VmHWM) is read, not what wait4(2) gives: that counts the parent's too, from before exec.
func (s *sample) watch(pid int) {
	for {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return
		}
		_, rest, ok := strings.Cut(string(text), "VmHWM:")
		if !ok {
			return // it has ended and waits to be reaped
		}
		if kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64); err == nil {
			s.Memory = max(s.Memory, kib<<10)
		}
		if list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid)); err == nil {
			s.Files = max(s.Files, len(list))
		}
		time.Sleep(25 * time.Millisecond)
	}
}

// selfCPU is the CPU time of this process and of its children that have ended (proc(5), fields 14 to 17, in ticks of 10 ms).
func selfCPU() time.Duration {
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	ticks := 0
	for _, field := range fields[11:15] {
		n, _ := strconv.Atoi(field)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
