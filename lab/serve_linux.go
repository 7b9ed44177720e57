package lab

import (
	"fmt"
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// runRequest asks a host to run a command with the three files that came along; runAnswer is its end.
type runRequest struct{ Argv []string }

type runAnswer struct {
	Code  int
	Error string
}

// serveCommands runs what callers on the machine ask for (Lab.Exec).
func serveCommands(l *net.UnixListener, r *reaper) error {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		go serveCommand(c, r)
	}
}

func serveCommand(c *net.UnixConn, r *reaper) {
	defer c.Close()
	var request runRequest
	files, err := receiveMessage(c, &request)
	if err == nil && (len(files) != 3 || len(request.Argv) == 0) {
		err = fmt.Errorf("run command: %d files, %d words", len(files), len(request.Argv))
	}
	if err != nil {
		closeAll(files)
		_ = sendMessage(c, runAnswer{Error: err.Error()})
		return
	}
	pid, status, err := r.start(request.Argv, []uintptr{uintptr(files[0]), uintptr(files[1]), uintptr(files[2])})
	closeAll(files)
	if err != nil {
		_ = sendMessage(c, runAnswer{Error: err.Error()})
		return
	}
	gone := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, c)
		close(gone)
	}()
	select {
	case s := <-status:
		_ = sendMessage(c, runAnswer{Code: exitCode(s)})
	case <-gone:
		// The caller went away: the command goes with it, and its group.
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
}

func closeAll(files []int) {
	for _, fd := range files {
		unix.Close(fd)
	}
}
