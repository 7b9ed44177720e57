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
	placed bool
}

// runWrites runs steps of which the first writes are files. Their content travels by SFTP, in parallel, under temporary names;
// then the shell puts them in place one after the other and goes on with the other steps, in one round trip. It stops at the first
// failure there, so that neither a failure nor a lost connection can put a file in place before one that comes earlier.
func (c *conn) runWrites(ctx context.Context, steps []transport.Step, writes int, later []transport.Step) ([]transport.Result, error) {
	files, err := c.prepare(ctx, steps[:writes])
	if errors.Is(err, errRefused) {
		return c.runShell(ctx, steps, later)
	}
	if err != nil {
		return nil, err
	}
	if err := c.stageAll(ctx, files); err != nil {
		return nil, err
	}
	// SFTP has one code for a full disk, a folder in the way and much else: what could not be staged is left to the shell, which
	// says what it is.
	good := 0
	for good < len(files) && files[good].err == nil {
		good++
	}
	groups := byUser(files[:good])
	var run []transport.Step
	for _, g := range groups {
		var temps []string
		for _, f := range g {
			temps = append(temps, f.temp)
		}
		run = append(run, shell.Place(stepsOf(g), temps))
	}
	c.count(func(s *transport.Stats) { s.FileBatches++; s.Files += good })
	ran, err := c.runShell(ctx, append(run, steps[good:]...), later)
	var results []transport.Result
	for i, g := range groups[:min(len(groups), len(ran))] {
		for k, r := range shell.Placed(stepsOf(g), ran[i]) {
			r.Took += g[k].took
			g[k].placed = r.Err == nil
			results = append(results, r)
		}
	}
	results = append(results, ran[min(len(groups), len(ran)):]...)
	switch {
	case err != nil:
	case good == len(files) && len(results) >= good && files[good-1].placed:
		// Nothing depends on the answers to these.
		go each(files, (*staged).finish)
	default:
		each(files, (*staged).finish)
	}
	return results, err
}

// byUser cuts a list where the acting user or what a failure means changes.
func byUser(files []*staged) [][]*staged {
	var out [][]*staged
	for i, f := range files {
		if i > 0 && f.step.User == files[i-1].step.User && !f.step.Probe && !files[i-1].step.Probe {
			out[len(out)-1] = append(out[len(out)-1], f)
			continue
		}
		out = append(out, []*staged{f})
	}
	return out
}

func stepsOf(files []*staged) []transport.Step {
	out := make([]transport.Step, len(files))
	for i, f := range files {
		out[i] = f.step
	}
	return out
}

// stageAll writes files under their temporary names; each keeps its own error. The error returned is the connection's.
func (c *conn) stageAll(ctx context.Context, files []*staged) error {
	limited, cancel := context.WithTimeoutCause(ctx, longest(files)+shell.Grace, transport.ErrLimit)
	defer cancel()
	done := make(chan struct{})
	go func() {
		each(files, (*staged).stage)
		close(done)
	}()
	select {
	case <-done:
	case <-limited.Done():
		return fmt.Errorf("%w: stopped while files were written: %w", transport.ErrUnreachable, context.Cause(limited))
	}
	for _, f := range files {
		if lost := connectionError(f.err); lost != nil {
			return fmt.Errorf("%w: write %s: %w", transport.ErrUnreachable, f.step.Write.Path, lost)
		}
	}
	return nil
}

func longest(files []*staged) time.Duration {
	seconds := 0
	for _, f := range files {
		seconds = max(seconds, shell.Seconds(f.step.Limit))
	}
	return time.Duration(seconds) * time.Second
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
		if c.refused[s.User] {
			return nil, errRefused
		}
		server, err := c.server(ctx, s.User)
		if errors.Is(err, errRefused) {
			c.refused[s.User] = true
			c.noSFTP = c.noSFTP || s.User == ""
		}
		if err != nil {
			return nil, err
		}
		files[i] = &staged{step: s, owner: owner, server: server, temp: path.Join(path.Dir(s.Write.Path), shell.TempName())}
	}
	return files, nil
}

func each(files []*staged, do func(*staged)) {
	var wg sync.WaitGroup
	for _, f := range files {
		wg.Go(func() { do(f) })
	}
	wg.Wait()
}

// stage makes the complete file under its temporary name; that it is on the disk is seen to when it is put in place. O_EXCL: whatever stands there is not
// followed. The server's umask keeps others out from the first moment, but for folders with a default ACL, where none counts: owner and mode come before the
// first byte of what not everybody may read.
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
	var wg sync.WaitGroup
	var modeErr, writeErr error
	mode := shell.Mode(f.step.Write)
	wg.Go(func() { modeErr = f.server.Chmod(f.temp, fs.FileMode(mode)) })
	if mode&0o004 == 0 {
		if wg.Wait(); modeErr != nil {
			return modeErr
		}
	}
	// Else both at once: the name is nobody's yet.
	if len(f.step.Stdin) > 0 {
		_, writeErr = file.Write(f.step.Stdin)
	}
	wg.Wait()
	return errors.Join(writeErr, modeErr)
}

// finish closes the handle, and removes the file that has not been put in place.
func (f *staged) finish() {
	if f.file == nil {
		return
	}
	f.file.Close()
	if !f.placed {
		_ = f.server.Remove(f.temp)
	}
}
