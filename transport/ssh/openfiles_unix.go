//go:build unix

package ssh

import "syscall"

// openFiles is how many files this process may open (getrlimit(2), RLIMIT_NOFILE).
func openFiles() (limit uint64, known bool) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, false
	}
	return uint64(l.Cur), true //nolint:unconvert // signed on some systems
}
