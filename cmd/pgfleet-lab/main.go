// Command pgfleet-lab makes fleets of real hosts on one Linux machine, to try pgfleet on; see docs/lab.md.
package main

import "os"

func main() {
	os.Exit(run(os.Args, os.Stdout, os.Stderr))
}
