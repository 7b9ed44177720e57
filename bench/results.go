package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// sample is one run of a tool, as a whole process.
type sample struct {
	Wall time.Duration `json:"wall_ns"`
	// CPU is user and system time of every process on the controller's side.
	CPU time.Duration `json:"cpu_ns"`
	// Hosts is the CPU time that the hosts used, all together, sshd and PostgreSQL included.
	Hosts time.Duration `json:"hosts_cpu_ns"`
	// Memory is the peak in bytes over all those processes.
	Memory int64 `json:"memory_bytes"`
	// Connections and Sessions are what the hosts' sshd logged.
	Connections int `json:"connections"`
	Sessions    int `json:"sessions"`
	// Processes and threads that the hosts started, sshd's own among them.
	Processes int `json:"processes"`
	// RoundTrips of the host with the most; -1: the tool does not say.
	RoundTrips int `json:"round_trips"`
	// Changed is how much the tool says that it changed; -1: it does not say.
	Changed int `json:"changed"`
}

// series are the samples of one row: a tool's first run at one size and round-trip time, for example.
type series struct {
	Size    int           `json:"size"`
	RTT     time.Duration `json:"rtt_ns"`
	Tool    string        `json:"tool"`
	Step    string        `json:"step"`
	Samples []sample      `json:"samples"`
}

// results are everything that the report is made from.
type results struct {
	Date     time.Time `json:"date"`
	Machine  machine   `json:"machine"`
	Command  string    `json:"command"`
	Commands []command `json:"commands"`
	Series   []series  `json:"series"`
}

// command is what a tool was called with.
type command struct {
	Tool string `json:"tool"`
	Step string `json:"step"`
	Line string `json:"line"`
}

// add puts a sample into its row, a new one if need be.
func (r *results) add(size int, rtt time.Duration, tool, step string, s sample) {
	i := slices.IndexFunc(r.Series, func(x series) bool { return x.Size == size && x.RTT == rtt && x.Tool == tool && x.Step == step })
	if i < 0 {
		i = len(r.Series)
		r.Series = append(r.Series, series{Size: size, RTT: rtt, Tool: tool, Step: step})
	}
	r.Series[i].Samples = append(r.Series[i].Samples, s)
}

// row gives the median of each figure; false: never measured.
func (r *results) row(size int, rtt time.Duration, tool, step string) (sample, bool) {
	for _, x := range r.Series {
		if x.Size == size && x.RTT == rtt && x.Tool == tool && x.Step == step {
			return x.median(), true
		}
	}
	return sample{}, false
}

func (x series) median() sample {
	return sample{
		Wall: medianOf(x.Samples, func(s sample) time.Duration { return s.Wall }), CPU: medianOf(x.Samples, func(s sample) time.Duration { return s.CPU }),
		Hosts:       medianOf(x.Samples, func(s sample) time.Duration { return s.Hosts }),
		Memory:      medianOf(x.Samples, func(s sample) int64 { return s.Memory }),
		Connections: medianOf(x.Samples, func(s sample) int { return s.Connections }), Sessions: medianOf(x.Samples, func(s sample) int { return s.Sessions }),
		Processes:  medianOf(x.Samples, func(s sample) int { return s.Processes }),
		RoundTrips: medianOf(x.Samples, func(s sample) int { return s.RoundTrips }), Changed: medianOf(x.Samples, func(s sample) int { return s.Changed }),
	}
}

// medianOf is the middle value, of an even number the mean of the two in the middle.
func medianOf[T ~int | ~int64](samples []sample, figure func(sample) T) T {
	values := make([]T, len(samples))
	for i, s := range samples {
		values[i] = figure(s)
	}
	slices.Sort(values)
	n := len(values)
	if n == 0 {
		return 0
	}
	return (values[(n-1)/2] + values[n/2]) / 2
}

const resultsFile = "results.json"

func (r *results) save(folder string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("encode results: %w", err)
	}
	return writeFile(folder, resultsFile, append(text, '\n'))
}

func loadResults(folder string) (*results, error) {
	text, err := os.ReadFile(filepath.Join(folder, resultsFile))
	if err != nil {
		return nil, fmt.Errorf("read results: %w", err)
	}
	r := &results{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("read results: %w", err)
	}
	return r, nil
}

func writeFile(folder, name string, text []byte) error {
	if err := os.WriteFile(filepath.Join(folder, name), text, 0o644); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
