package ssh

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/pgfleet/pgfleet/transport"
	"github.com/pgfleet/pgfleet/transport/shell"
)

// ready is what a root shell prints when sudo has let it begin. It is no secret.
const ready = "pgfleet-root-shell"

// tools are the programs that make a shell root's. Their messages are wanted in English.
var tools = []string{"env LC_ALL=C sudo -n ", "env LC_ALL=C doas -n "}

// root is how this host lets us be root; it is found once a connection.
type root struct {
	prefix   string
	password []byte
}

// startRoot starts the framed shell as root where the target wants it, with the steps of ahead, and remembers how.
func (c *conn) startRoot(ctx context.Context, ahead []transport.Step) (*shell.Session, shell.Host, error) {
	t := c.target
	if !t.Become || t.User == "root" {
		return c.startShell(ctx, root{}, ahead)
	}
	var first error
	if c.opt.SudoPassword == nil {
		for _, tool := range tools {
			session, host, err := c.startShell(ctx, root{prefix: tool}, ahead)
			if err == nil {
				c.root = root{prefix: tool}
				return session, host, nil
			}
			if first == nil {
				first = err
			}
			if !missing(err) {
				first = err // the tool that is there says what is wrong
				break
			}
		}
		return nil, shell.Host{}, c.becomeError(first)
	}
	password, err := c.sudoPassword(ctx)
	if err != nil {
		return nil, shell.Host{}, fmt.Errorf("%w: %s: %w", transport.ErrBecome, t.Name, err)
	}
	c.root = root{prefix: tools[0], password: password}
	session, host, err := c.startShell(ctx, c.root, ahead)
	if err != nil {
		return nil, shell.Host{}, c.becomeError(err)
	}
	return session, host, nil
}

func (c *conn) sudoPassword(ctx context.Context) ([]byte, error) {
	type answer struct {
		password []byte
		err      error
	}
	got := make(chan answer, 1)
	go func() {
		password, err := c.opt.SudoPassword(ctx, c.target.Name)
		got <- answer{password, err}
	}()
	select {
	case a := <-got:
		if a.err == nil && bytes.ContainsAny(a.password, "\r\n\x00") {
			// sudo reads one line; root's shell would take the next for a program.
			return nil, errors.New("the sudo password has more than one line")
		}
		return a.password, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// startShell runs shell.Bootstrap through r on a new channel.
func (c *conn) startShell(ctx context.Context, r root, ahead []transport.Step) (*shell.Session, shell.Host, error) {
	pipes, err := c.rootPipes(ctx, r)
	if err != nil {
		return nil, shell.Host{}, err
	}
	session, host, err := shell.Start(ctx, pipes.Pipes, ahead...)
	if err != nil && pipes.refused() {
		err = errWrongPassword
	}
	return session, host, err
}

var errWrongPassword = errors.New("sudo does not accept the password")

// rootPipes are the ends of a Bootstrap that runs, or is about to run once sudo has its password.
type rootPipes struct {
	shell.Pipes
	mu    sync.Mutex
	wrong bool
}

func (p *rootPipes) refused() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wrong
}

// rootPipes starts Bootstrap. With a password, sudo gets it only after it has asked with a prompt of our own, and the
// program only after the shell has said that it runs: sent blindly, one would end up where the other is read.
func (c *conn) rootPipes(ctx context.Context, r root) (*rootPipes, error) {
	if r.password == nil {
		ch, err := c.client.open(ctx, r.prefix+shell.Bootstrap)
		if err != nil {
			return nil, err
		}
		return &rootPipes{Pipes: pipesOf(ch, ch, ch, ch.Stderr(), nil)}, nil
	}
	prompt := rand.Text()
	ch, err := c.client.open(ctx, "env LC_ALL=C sudo -k -S -p "+prompt+" /bin/sh -c 'echo "+ready+"; IFS= read -r p && eval \"$p\"'")
	if err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	in := &gate{w: ch, opened: make(chan struct{}), ended: ended}
	p := &rootPipes{}
	asked := 0
	out := &watch{r: ch, mark: []byte(ready), hit: func() bool { in.open(); return false }}
	errs := &watch{r: ch.Stderr(), mark: []byte(prompt), hit: func() bool {
		if asked++; asked > 1 {
			p.mu.Lock()
			p.wrong = true
			p.mu.Unlock()
			go ch.Close()
			return false
		}
		_, err := ch.Write(append(append([]byte{}, r.password...), '\n'))
		return err == nil
	}}
	p.Pipes = pipesOf(ch, in, out, errs, ended)
	return p, nil
}

func pipesOf(ch ssh.Channel, in io.Writer, out, errs io.Reader, ended chan struct{}) shell.Pipes {
	return shell.Pipes{In: in, Out: out, Err: errs, Close: sync.OnceValue(func() error {
		if ended != nil {
			close(ended)
		}
		// Saying goodbye needs a connection that takes it: whoever gives the shell up ends the connection next.
		go ch.Close()
		return nil
	})}
}

func said(err error) string {
	var start *shell.StartError
	if !errors.As(err, &start) {
		return ""
	}
	return string(start.Stderr) + "\n" + string(start.Stdout)
}

// missing says whether the host has no such tool.
func missing(err error) bool {
	text := said(err)
	if strings.Contains(text, "doas is not enabled") {
		return false // it lacks its doas.conf
	}
	return strings.Contains(text, "not found") || strings.Contains(text, "No such file or directory")
}

// BecomeError is a host on which the login user cannot become root. It wraps transport.ErrBecome.
type BecomeError struct {
	// Host is the inventory's name, User the one who logged in.
	Host, User string
	// Reason is what stood in the way; Advice what to do about it.
	Reason, Advice string
}

// Error says who could not become root where, and why.
func (e *BecomeError) Error() string {
	return fmt.Sprintf("%v: user %s on %s: %s", transport.ErrBecome, e.User, e.Host, e.Reason)
}

// Hint is what to do about it.
func (e *BecomeError) Hint() string { return e.Advice }

// Unwrap makes it an ErrBecome.
func (e *BecomeError) Unwrap() error { return transport.ErrBecome }

// sudoSays are messages of sudo, sudo-rs and doas in the C locale, with what they mean for the user.
var sudoSays = []struct{ text, reason, advice string }{
	{"must have a tty", "sudoers has requiretty", "add to sudoers: Defaults:USER !requiretty"},
	{"password is required", "sudo asks for a password", "give -K, or sudo_password in the inventory, or let sudo ask for none (NOPASSWD)"},
	{"authentication is required", "sudo asks for a password", "give -K, or sudo_password in the inventory, or let sudo ask for none (NOPASSWD)"},
	{"terminal is required to read the password", "sudo asks for a password", "give -K, or sudo_password in the inventory, or let sudo ask for none (NOPASSWD)"},
	{"doas: Authorization required", "doas asks for a password", "let doas ask for none (nopass)"},
	{"doas: Authentication required", "doas asks for a password", "let doas ask for none, in doas.conf: permit nopass USER"},
	{"doas: Operation not permitted", "doas.conf does not let the user do this", "allow it in doas.conf: permit nopass USER"},
	{"doas is not enabled", "doas has no doas.conf, and sudo is not there", "write one: permit nopass USER"},
	{"not installed setuid", "doas is not setuid, and sudo is not there", "install doas again, or chmod u+s its program"},
	{"not in the sudoers file", "sudoers does not name the user", "add the user to sudoers"},
	{"may not run sudo", "sudoers does not let the user do this", "add the user to sudoers"},
	{"is not allowed to execute", "sudoers does not let the user run /bin/sh as root", "allow it: USER ALL=(ALL) NOPASSWD: ALL"},
	{"not found", "neither sudo nor doas is there", "install sudo, or log in as root"},
	{"No such file or directory", "neither sudo nor doas is there", "install sudo, or log in as root"},
}

func (c *conn) becomeError(err error) error {
	e := &BecomeError{Host: c.target.Name, User: c.target.User}
	if errors.Is(err, errWrongPassword) {
		e.Reason, e.Advice = err.Error(), "check what was typed (-K), or where sudo_password of the inventory leads"
		return e
	}
	var start *shell.StartError
	if !errors.As(err, &start) {
		return err
	}
	text := said(err)
	for _, s := range sudoSays {
		if strings.Contains(text, s.text) {
			e.Reason, e.Advice = s.reason, strings.ReplaceAll(s.advice, "USER", c.target.User)
			return e
		}
	}
	return err
}
