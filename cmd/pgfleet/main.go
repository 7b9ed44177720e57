// Command pgfleet brings mutual TLS to a fleet of PostgreSQL servers and their clients.
package main

import (
	"os"

	"github.com/pgfleet/pgfleet/cmd"
)

func main() {
	os.Exit(cmd.Main(os.Args[1:], cmd.OS()))
}
