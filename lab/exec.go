package lab

import "io"

// Command is a program to run in a host as root, in a session of its own.
type Command struct {
	Argv []string
	// Stdin: nil means none. Stdout, Stderr: nil means thrown away. Files are handed over as they are.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Output is what a command printed and how it ended: the exit code, or 128 and the signal's number.
type Output struct {
	Stdout, Stderr string
	Code           int
}
