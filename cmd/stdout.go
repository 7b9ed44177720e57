package cmd

import (
	"fmt"
	"os"
	"sync"
)

// stdout is standard output, which remembers what it could not take (a full disk): who reads a cut table later must not find exit code 0 beside it.
type stdout struct {
	file *os.File
	mu   sync.Mutex
	err  error
}

// Write passes on.
func (s *stdout) Write(p []byte) (int, error) {
	n, err := s.file.Write(p)
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.err == nil {
			s.err = err
		}
	}
	return n, err
}

// lost gives why something was not printed, nil when all was.
func (s *stdout) lost() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// complain turns exit code 0 of a command into 1 where standard output has lost something, and says so.
func complain(sys *System, code int) int {
	out, ok := sys.Out.(*stdout)
	if !ok || out.lost() == nil || code == exitInternal {
		return code
	}
	fmt.Fprintf(sys.Err, "error: not everything could be printed: %v\n", out.lost())
	if code == exitOK {
		return exitInternal
	}
	return code
}
