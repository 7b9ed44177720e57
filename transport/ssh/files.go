package ssh

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sync"
	"time"

	"github.com/pkg/sftp"

	"github.com/pgfleet/pgfleet/transport"
	"github.com/pgfleet/pgfleet/transport/shell"
)

// staged is one file of a batch: written under a temporary name, to be put in place.
type staged struct {
	step   transport.Step
	owner  owner
	server *fileServer
	temp   string
	file   *sftp.File
	took   time.Duration
	err    error
}

// writeFiles does steps that are all writes. Every file is complete under another name before the first is put in place; one
// that cannot be completed leaves it and all after it as they were.
func (c *conn) writeFiles(ctx context.Context, steps []transport.Step) ([]transport.Result, error) {
	files, err := c.prepare(ctx, steps)
	if errors.Is(err, errRefused) {
		return c.session.Run(ctx, steps)
	}
	if err != nil {
		return nil, err
	}
	done := make(chan int, 1)
	go func() { done <- putAll(files) }()
	var placed int
	select {
	case placed = <-done:
	case <-ctx.Done():
		err := fmt.Errorf("%w: stopped while files were written: %w", transport.ErrUnreachable, ctx.Err())
		c.client.close(err)
		<-done
		return nil, err
	}
	results := make([]transport.Result, placed)
	for i := range results {
		results[i] = transport.Result{Key: steps[i].Key, Stdout: []byte{}, Stderr: []byte{}, Took: files[i].took}
	}
	c.count(func(s *transport.Stats) { s.FileBatches++; s.Files += placed })
	if placed == len(steps) {
		return results, nil
	}
	if lost := connectionError(files[placed].err); lost != nil {
		return results, fmt.Errorf("%w: write %s: %w", transport.ErrUnreachable, steps[placed].Write.Path, lost)
	}
	// SFTP has but one code for a full disk, a folder in the way and much else. The shell says what it is, or succeeds.
	rest, err := c.session.Run(ctx, steps[placed:])
	return append(results, rest...), err
}

// connectionError gives err unless the server itself answered.
func connectionError(err error) error {
	var status *sftp.StatusError
	if errors.As(err, &status) && status.Code != uint32(sftp.ErrSSHFxConnectionLost) && status.Code != uint32(sftp.ErrSSHFxNoConnection) {
		return nil
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrExist) {
		return nil
	}
	return err
}

// prepare finds server and ids for each file. errRefused: the shell has to do it.
func (c *conn) prepare(ctx context.Context, steps []transport.Step) ([]*staged, error) {
	if err := c.resolve(ctx, steps); err != nil {
		return nil, err
	}
	paths := map[string]bool{}
	files := make([]*staged, len(steps))
	for i, s := range steps {
		owner, known := c.ownerOf(s)
		if paths[s.Write.Path] || !known {
			return nil, fmt.Errorf("%w: one path twice, or an owner that the host does not know", errRefused)
		}
		paths[s.Write.Path] = true
		server, err := c.server(ctx, s.User)
		if errors.Is(err, errRefused) && s.User == "" {
			c.noSFTP = true
		}
		if err != nil {
			return nil, err
		}
		files[i] = &staged{step: s, owner: owner, server: server, temp: path.Join(path.Dir(s.Write.Path), shell.TempName())}
	}
	return files, nil
}

// putAll stages files in parallel, puts them in place up to the first that failed, removes the others and says how many are in place.
func putAll(files []*staged) int {
	each(files, (*staged).stage)
	good := 0
	for good < len(files) && files[good].err == nil {
		good++
	}
	each(files[:good], (*staged).place)
	placed := 0
	for placed < good && files[placed].err == nil {
		placed++
	}
	each(files[placed:], (*staged).discard)
	return placed
}

func each(files []*staged, do func(*staged)) {
	var wg sync.WaitGroup
	for _, f := range files {
		wg.Go(func() { do(f) })
	}
	wg.Wait()
}

// stage makes the complete file under its temporary name. O_EXCL: whatever stands there is not followed. The server's umask
// keeps others out from the first moment; owner before the first byte, mode after the last.
func (f *staged) stage() {
	begin := time.Now()
	f.err = f.tryStage()
	f.took = time.Since(begin)
}

func (f *staged) tryStage() error {
	file, err := f.server.OpenFile(f.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	f.file = file
	if f.owner.set {
		if err := file.Chown(f.owner.uid, f.owner.gid); err != nil {
			return err
		}
	}
	if len(f.step.Stdin) > 0 {
		if _, err := file.Write(f.step.Stdin); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	var modeErr error
	if mode := shell.Mode(f.step.Write); mode != 0o600 {
		wg.Go(func() { modeErr = file.Chmod(fs.FileMode(mode)) })
	}
	syncErr := file.Sync()
	wg.Wait()
	return errors.Join(modeErr, syncErr)
}

// place renames the file over its target, a link there included.
func (f *staged) place() {
	begin := time.Now()
	var wg sync.WaitGroup
	wg.Go(func() { f.file.Close() })
	f.err = f.server.PosixRename(f.temp, f.step.Write.Path)
	wg.Wait()
	f.took += time.Since(begin)
}

// discard removes what stage made.
func (f *staged) discard() {
	if f.file == nil {
		return
	}
	f.file.Close()
	f.server.Remove(f.temp)
}
