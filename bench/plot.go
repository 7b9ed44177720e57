package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// The plot: a panel for each round-trip time and step, hosts to the right, seconds upwards, both logarithmic; a line a tool.
const (
	panelWidth, panelHeight            = 420.0, 300.0
	marginLeft, marginTop, marginRight = 56.0, 36.0, 20.0
	marginBottom, legendHeight         = 48.0, 44.0
)

// Colours that differ in lightness, too, one a tool in the order of the list.
var colours = []string{"#0b5fb0", "#58a6e8", "#5f6b76", "#c8442b", "#e59b2f"}

// point is a tool's median at a number of hosts.
type point struct{ hosts, seconds float64 }

// panel is one part of the plot.
type panel struct {
	title string
	lines [][]point // by tool
}

// scale turns a value into a place on a logarithmic axis.
type scale struct{ low, high, from, to float64 }

func (s scale) at(v float64) float64 {
	return s.from + (s.to-s.from)*(math.Log(v)-math.Log(s.low))/(math.Log(s.high)-math.Log(s.low))
}

func (r *results) panels() []panel {
	var rtts []time.Duration
	for _, f := range r.fleets() {
		if !slices.Contains(rtts, f.RTT) {
			rtts = append(rtts, f.RTT)
		}
	}
	var all []panel
	for _, rtt := range rtts {
		for _, step := range []string{firstRun, secondRun} {
			p := panel{title: step + ", " + delay(rtt)}
			for _, t := range tools {
				p.lines = append(p.lines, r.line(rtt, t.name, step))
			}
			all = append(all, p)
		}
	}
	return all
}

func (r *results) line(rtt time.Duration, tool, step string) []point {
	var line []point
	for _, x := range r.Series {
		if x.RTT == rtt && x.Tool == tool && x.Step == step {
			line = append(line, point{float64(2*x.Size + 3), x.median().Wall.Seconds()})
		}
	}
	slices.SortFunc(line, func(a, b point) int { return int(a.hosts - b.hosts) })
	return line
}

func (r *results) plot() string {
	panels := r.panels()
	rows := (len(panels) + 1) / 2
	width, height := 2*panelWidth, float64(rows)*panelHeight+legendHeight
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" font-family="sans-serif" font-size="12" fill="#222">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<title>Wall time against hosts, medians</title>`+"\n"+`<rect width="100%%" height="100%%" fill="#fff"/>`+"\n")
	legend(&b)
	hosts, seconds := extent(panels)
	for i, p := range panels {
		fmt.Fprintf(&b, `<g transform="translate(%.0f %.0f)">`+"\n", panelWidth*float64(i%2), legendHeight+panelHeight*float64(i/2))
		p.draw(&b, hosts, seconds)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func legend(b *strings.Builder) {
	x := marginLeft
	for i, t := range tools {
		fmt.Fprintf(b, `<line x1="%.0f" y1="22" x2="%.0f" y2="22" stroke="%s" stroke-width="2.5"/><circle cx="%.0f" cy="22" r="3.5" fill="%s"/><text x="%.0f" y="26">%s</text>`+"\n",
			x, x+24, colours[i], x+12, colours[i], x+30, t.name)
		x += 50 + 7*float64(len(t.name))
	}
}

// extent gives both axes' ends, the same for all panels so that they can be compared: seconds at round powers of ten.
func extent(panels []panel) (hosts, seconds scale) {
	hosts, seconds = scale{low: math.Inf(1)}, scale{low: math.Inf(1)}
	for _, p := range panels {
		for _, line := range p.lines {
			for _, q := range line {
				hosts.low, hosts.high = min(hosts.low, q.hosts), max(hosts.high, q.hosts)
				seconds.low, seconds.high = min(seconds.low, q.seconds), max(seconds.high, q.seconds)
			}
		}
	}
	if math.IsInf(hosts.low, 1) {
		hosts, seconds = scale{low: 1, high: 1}, scale{low: 1, high: 1}
	}
	hosts.low, hosts.high = hosts.low/1.25, hosts.high*1.25
	seconds.low, seconds.high = math.Pow(10, math.Floor(math.Log10(seconds.low))), math.Pow(10, math.Ceil(math.Log10(seconds.high*1.05)))
	hosts.from, hosts.to = marginLeft, panelWidth-marginRight
	seconds.from, seconds.to = panelHeight-marginBottom, marginTop
	return hosts, seconds
}

func (p panel) draw(b *strings.Builder, hosts, seconds scale) {
	fmt.Fprintf(b, `<text x="%.0f" y="%.0f" font-weight="bold">%s</text>`+"\n", marginLeft, marginTop-12, p.title)
	p.axes(b, hosts, seconds)
	for i, line := range p.lines {
		var path []string
		for _, q := range line {
			path = append(path, fmt.Sprintf("%.1f,%.1f", hosts.at(q.hosts), seconds.at(q.seconds)))
		}
		if len(path) > 1 {
			fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2.5"/>`+"\n", strings.Join(path, " "), colours[i])
		}
		for _, q := range line {
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"><title>%s: %.0f hosts, %.2f s</title></circle>`+"\n", hosts.at(q.hosts), seconds.at(q.seconds), colours[i], tools[i].name, q.hosts, q.seconds)
		}
	}
}

func (p panel) axes(b *strings.Builder, hosts, seconds scale) {
	for decade := seconds.low; decade <= seconds.high*1.001; decade *= 10 {
		for step := 1.0; step < 10; step++ {
			v := decade * step
			if v > seconds.high*1.001 {
				break
			}
			colour := "#eee"
			if step == 1 {
				colour = "#bbb"
				fmt.Fprintf(b, `<text x="%.0f" y="%.1f" text-anchor="end">%g s</text>`+"\n", hosts.from-6, seconds.at(v)+4, math.Round(v*1000)/1000)
			}
			fmt.Fprintf(b, `<line x1="%.0f" y1="%.1f" x2="%.0f" y2="%.1f" stroke="%s"/>`+"\n", hosts.from, seconds.at(v), hosts.to, seconds.at(v), colour)
		}
	}
	var marked []float64
	for _, line := range p.lines {
		for _, q := range line {
			if !slices.Contains(marked, q.hosts) {
				marked = append(marked, q.hosts)
				fmt.Fprintf(b, `<text x="%.1f" y="%.0f" text-anchor="middle">%.0f</text>`+"\n", hosts.at(q.hosts), seconds.from+18, q.hosts)
			}
		}
	}
	fmt.Fprintf(b, `<text x="%.0f" y="%.0f" text-anchor="middle">hosts</text>`+"\n", (hosts.from+hosts.to)/2, seconds.from+36)
}
