package ssh

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/pkg/sftp"

	"github.com/pgfleet/pgfleet/transport"
)

// launchServer is what Bootstrap runs to become an sftp-server: it reads a nonce, a user if it is another than the shell's, and what can act as one, and prints
// the nonce before the server begins, so that whatever start-up files print is over. Nothing is created there that others could read.
const launchServer = `IFS= read -r n; IFS= read -r u; IFS= read -r w; LC_ALL=C; export LC_ALL; umask 077; cd /; set --; ` +
	`if [ -n "$u" ]; then case $w in ` +
	`setpriv) i=$(id -u "$u") && g=$(id -g "$u") || exit 1; set -- setpriv --reuid "$i" --regid "$g" --init-groups -- ;; ` +
	`runuser) set -- runuser -u "$u" -- ;; su) set -- su -s /bin/sh -c "exec \"\$0\" \"\$@\"" -- "$u" ;; *) exit 1 ;; esac; fi; ` +
	`for s in /usr/lib/openssh/sftp-server /usr/libexec/openssh/sftp-server /usr/lib/ssh/sftp-server /usr/libexec/sftp-server /usr/libexec/ssh/sftp-server; ` +
	`do [ -x "$s" ] && break; done; [ -x "$s" ] || exit 127; printf "\n%s\n" "$n"; exec "$@" "$s"` + "\n"

// fileServer is one sftp-server that acts as one user.
type fileServer struct {
	*sftp.Client
	close func()
}

// starting is an sftp-server that runs, or is on its way: server and err are set once done is closed.
type starting struct {
	done   chan struct{}
	server *fileServer
	err    error
}

// start has the sftp-server of a user ("" is the shell's) started, unless that was done before. Who holds the turn may call it.
func (c *conn) start(user string) *starting {
	s := c.servers[user]
	if s == nil {
		s = &starting{done: make(chan struct{})}
		c.servers[user] = s
		go func() {
			defer close(s.done)
			s.server, s.err = c.launch(user)
		}()
	}
	return s
}

// ready has those sftp-servers started that steps are going to need: three round trips, which pass while the host does what comes before.
func (c *conn) ready(steps []transport.Step) {
	for _, s := range steps {
		if (s.Write != nil || s.Files) && !c.noSFTP && !c.refused[s.User] {
			c.start(s.User)
		}
	}
}

// server gives the sftp-server of a user. errRefused: no session is left for it, or it does not start.
func (c *conn) server(ctx context.Context, user string) (*fileServer, error) {
	s := c.start(user)
	select {
	case <-s.done:
		return s.server, s.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", transport.ErrUnreachable, context.Cause(ctx))
	}
}

// end closes it once it is there.
func (s *starting) end() {
	<-s.done
	if s.server != nil {
		s.server.close()
	}
}

// launch starts an sftp-server.
func (c *conn) launch(user string) (*fileServer, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), connectTimeout(c.target), errors.New("the sftp-server did not start in time"))
	defer cancel()
	pipes, err := c.rootPipes(ctx, c.root)
	if err != nil {
		return nil, err
	}
	nonce := rand.Text()
	go func() { _, _ = io.Copy(io.Discard, pipes.Err) }()
	var sent sync.WaitGroup
	if user == c.host.User {
		user = ""
	}
	sent.Go(func() { fmt.Fprintf(pipes.In, "%s%s\n%s\n%s\n", launchServer, nonce, user, c.host.Switcher) })
	in := &afterFirst{Writer: pipes.In, first: &sent, end: pipes.Close}
	type answer struct {
		client *sftp.Client
		err    error
	}
	got := make(chan answer, 1)
	go func() {
		out := &afterMark{r: pipes.Out, mark: []byte("\n" + nonce + "\n")}
		if c.root.password != nil {
			// Nothing can be sent before sudo has let us in, and that is read here.
			if err := out.skip(); err != nil {
				got <- answer{nil, err}
				return
			}
		}
		client, err := sftp.NewClientPipe(out, in, sftp.UseConcurrentWrites(true))
		got <- answer{client, err}
	}()
	select {
	case a := <-got:
		if a.err != nil {
			_ = pipes.Close()
			return nil, fmt.Errorf("%w: sftp-server: %w", errRefused, a.err)
		}
		return &fileServer{Client: a.client, close: func() { _ = pipes.Close(); a.client.Close() }}, nil
	case <-ctx.Done():
		_ = pipes.Close()
		return nil, fmt.Errorf("%w: %w", transport.ErrUnreachable, context.Cause(ctx))
	}
}

// afterFirst lets writes pass once the first lines are on their way.
type afterFirst struct {
	io.Writer
	first *sync.WaitGroup
	end   func() error
}

// Write waits its turn.
func (a *afterFirst) Write(b []byte) (int, error) {
	a.first.Wait()
	return a.Writer.Write(b)
}

// Close ends the channel.
func (a *afterFirst) Close() error { return a.end() }

// afterMark passes on what comes after mark.
type afterMark struct {
	r    io.Reader
	mark []byte
	seen []byte
	open bool
}

// skip reads up to and with the mark.
func (a *afterMark) skip() error {
	b := make([]byte, 4096)
	for !a.open {
		n, err := a.r.Read(b)
		a.seen = append(a.seen, b[:n]...)
		if at := bytes.Index(a.seen, a.mark); at >= 0 {
			a.open, a.seen = true, a.seen[at+len(a.mark):]
			return nil
		}
		if err != nil {
			return err
		}
		if keep := len(a.mark) - 1; len(a.seen) > keep {
			a.seen = bytes.Clone(a.seen[len(a.seen)-keep:])
		}
	}
	return nil
}

// Read reads what follows the mark.
func (a *afterMark) Read(b []byte) (int, error) {
	if err := a.skip(); err != nil {
		return 0, err
	}
	if len(a.seen) > 0 {
		n := copy(b, a.seen)
		a.seen = a.seen[n:]
		return n, nil
	}
	return a.r.Read(b)
}
