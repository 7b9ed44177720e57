package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const plotFile = "walltime.svg"

// write writes what there is so far.
func (r *results) write(folder string) error {
	if err := r.save(folder); err != nil {
		return err
	}
	if err := writeFile(folder, "RESULTS.md", []byte(r.report())); err != nil {
		return err
	}
	return writeFile(folder, plotFile, []byte(r.plot()))
}

// redraw writes the report again from what was measured.
func redraw(folder string) error {
	r, err := loadResults(folder)
	if err != nil {
		return err
	}
	return r.write(folder)
}

// fleets are the combinations of size and round-trip time, in the order of measuring.
func (r *results) fleets() []series {
	var found []series
	for _, x := range r.Series {
		if !slices.ContainsFunc(found, func(f series) bool { return f.Size == x.Size && f.RTT == x.RTT }) {
			found = append(found, series{Size: x.Size, RTT: x.RTT})
		}
	}
	return found
}

func (r *results) report() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# pgfleet against what one would use instead\n\nWritten by `make bench` on %s; [README.md](README.md) says what is measured, and how to do it again. Every figure is a median of whole processes; every single one is in [results.json](results.json).\n\n",
		r.Date.Format("2006-01-02 15:04 UTC"))
	fmt.Fprintf(&b, "![Wall time against hosts](%s)\n\n", plotFile)
	for _, f := range r.fleets() {
		r.table(&b, f.Size, f.RTT)
	}
	r.aboutMachine(&b)
	return b.String()
}

// table has a row a tool and step, tools in their own order.
func (r *results) table(b *strings.Builder, size int, rtt time.Duration) {
	fmt.Fprintf(b, "## %s, %s, %s\n\n", count(size, "server"), count(size, "client"), delay(rtt))
	fmt.Fprintf(b, "%d hosts with the authorities'. × is against pgfleet without test connections, which is the same work.\n\n", 2*size+3)
	b.WriteString("| tool | step | runs | wall | × | CPU | × | hosts' CPU | hosts' processes | peak memory | SSH connections | sessions | round trips, most of a host |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, step := range stepNames() {
		for _, t := range tools { // sorted by step, so that what is compared stands together
			r.tableRow(b, size, rtt, t.name, step)
		}
	}
	b.WriteString("\n")
}

func delay(rtt time.Duration) string {
	if rtt == 0 {
		return "no delay"
	}
	return fmt.Sprintf("%g ms round-trip time", float64(rtt)/1e6)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// stepNames are all steps: the two that every tool has, then the others.
func stepNames() []string {
	names := []string{firstRun, secondRun}
	for _, t := range tools {
		for _, s := range t.steps {
			if !slices.Contains(names, s.name) {
				names = append(names, s.name)
			}
		}
	}
	return names
}

func (r *results) tableRow(b *strings.Builder, size int, rtt time.Duration, tool, step string) {
	i := slices.IndexFunc(r.Series, func(x series) bool { return x.Size == size && x.RTT == rtt && x.Tool == tool && x.Step == step })
	if i < 0 {
		return
	}
	m := r.Series[i].median()
	base, based := r.row(size, rtt, pgfleetNone, step)
	trips := "–"
	if m.RoundTrips >= 0 {
		trips = fmt.Sprint(m.RoundTrips)
	}
	fmt.Fprintf(b, "| %s | %s | %d | %.2f s | %s | %.2f s | %s | %.2f s | %d | %d MiB | %d | %d | %s |\n", tool, step, len(r.Series[i].Samples),
		m.Wall.Seconds(), ratio(m.Wall, base.Wall, based), m.CPU.Seconds(), ratio(m.CPU, base.CPU, based), m.Hosts.Seconds(), m.Processes, m.Memory>>20, m.Connections, m.Sessions, trips)
}

func ratio(value, base time.Duration, based bool) string {
	if !based || base <= 0 {
		return "–"
	}
	r := float64(value) / float64(base)
	if r < 9.995 {
		return fmt.Sprintf("%.2f", r)
	}
	return fmt.Sprintf("%.1f", r)
}

func (r *results) aboutMachine(b *strings.Builder) {
	m := r.Machine
	fmt.Fprintf(b, "## Where, and with what\n\n- %d cores, %s, %s memory, %s\n- load average when it began: %s\n", m.Cores, m.CPU, m.Memory, m.Kernel, m.Load)
	for _, v := range m.Versions {
		fmt.Fprintf(b, "- %s\n", v)
	}
	fmt.Fprintf(b, "\nMeasured by `%s`. LAB is the lab's folder, WORK one with files that the benchmark makes from it. The second run has the first's command.\n\n```sh\n", r.Command)
	for _, c := range r.Commands {
		fmt.Fprintf(b, "# %s, %s\n%s\n", c.Tool, c.Step, c.Line)
	}
	b.WriteString("```\n")
}
