// Command scale runs pgfleet against simulated fleets of hundreds and thousands of hosts and writes down what that costs. It needs Linux, where all of
// 127.0.0.0/8 is this machine's, and a built bin/pgfleet; see README.md.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/pgfleet/pgfleet/bench/scale/fleet"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() error {
	sizes := flag.String("sizes", "500,1000,5000", "numbers of hosts, from small to large")
	program := flag.String("pgfleet", "bin/pgfleet", "the program to measure")
	root := flag.String("root", ".", "the repository")
	out := flag.String("out", "bench/scale", "folder for RESULTS.md and scale.svg")
	serve := flag.Bool("serve", false, "only simulate the first of the sizes, until standard input ends")
	flag.Parse()
	b := &bench{program: *program, root: *root, progress: os.Stderr}
	for word := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(word)
		if err != nil {
			return fmt.Errorf("-sizes %s: %w", *sizes, err)
		}
		b.sizes = append(b.sizes, n)
	}
	if *serve {
		return b.serve()
	}
	if err := b.all(); err != nil {
		return err
	}
	return b.write(*out)
}

// serve keeps a fleet for work by hand.
func (b *bench) serve() error {
	return b.with(fleet.Options{Hosts: b.sizes[0]}, func(f *fleet.Fleet) error {
		fmt.Println("pgfleet run -i", f.Inventory(), "mtls")
		_, err := io.Copy(io.Discard, os.Stdin)
		counts, unknown := f.Counts()
		fmt.Printf("%+v %s\n", counts, unknown)
		return err
	})
}
