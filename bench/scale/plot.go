package main

import (
	"fmt"
	"math"
	"strings"
)

// The plot: hosts to the right, seconds upwards, both logarithmic; a line a step.
const (
	width, height           = 640.0, 400.0
	left, right, top, below = 60.0, 190.0, 20.0, 45.0
)

var colours = []string{"#58a6e8", "#0b5fb0", "#9aa5b1", "#c8442b", "#e59b2f", "#7a5195", "#2f855a"}

// axis turns a value into a place on a logarithmic axis.
type axis struct{ low, high, from, to float64 }

func (a axis) at(v float64) float64 {
	return a.from + (a.to-a.from)*(math.Log(v)-math.Log(a.low))/(math.Log(a.high)-math.Log(a.low))
}

func (b *bench) plot() string {
	low, high := math.Inf(1), 0.0
	for _, list := range b.bySize {
		for _, s := range list {
			low, high = min(low, s.Wall.Seconds()), max(high, s.Wall.Seconds())
		}
	}
	first, last := float64(b.sizes[0]), float64(b.sizes[len(b.sizes)-1])
	if last == first {
		last = 2 * first
	}
	x, y := axis{first, last, left, width - right}, axis{low / 1.5, high * 1.5, height - below, top}
	var w strings.Builder
	fmt.Fprintf(&w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="12"><rect width="100%%" height="100%%" fill="#fff"/>`+"\n", width, height)
	for _, n := range b.sizes {
		at := x.at(float64(n))
		fmt.Fprintf(&w, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#ddd"/><text x="%.1f" y="%.1f" text-anchor="middle">%d</text>`+"\n", at, top, at, height-below, at, height-below+16, n)
	}
	for _, v := range []float64{0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500} {
		if v < y.low || v > y.high {
			continue
		}
		fmt.Fprintf(&w, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#eee"/><text x="%.1f" y="%.1f" text-anchor="end">%g</text>`+"\n", left, y.at(v), width-right, y.at(v), left-6, y.at(v)+4, v)
	}
	fmt.Fprintf(&w, `<text x="%.1f" y="%.1f" text-anchor="middle">hosts</text><text x="16" y="%.1f" text-anchor="middle" transform="rotate(-90 16 %.1f)">seconds</text>`+"\n",
		(left+width-right)/2, height-8, height/2, height/2)
	for i, step := range steps {
		var points []string
		for _, n := range b.sizes {
			points = append(points, fmt.Sprintf("%.1f,%.1f", x.at(float64(n)), y.at(b.bySize[n][i].Wall.Seconds())))
		}
		fmt.Fprintf(&w, `<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>`+"\n", colours[i], strings.Join(points, " "))
		fmt.Fprintf(&w, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="2"/><text x="%.1f" y="%.1f">%s</text>`+"\n",
			width-right+14, top+20*float64(i)+10, width-right+34, top+20*float64(i)+10, colours[i], width-right+40, top+20*float64(i)+14, step.name)
	}
	w.WriteString("</svg>\n")
	return w.String()
}
