package cmd

import (
	"context"
	"errors"
	"fmt"

	"github.com/pgfleet/pgfleet/cmd/printers"
	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/transport"
	"github.com/pgfleet/pgfleet/transport/ssh"
)

// door opens connections to hosts. They share bastions, agent, keys and passwords until close.
type door struct {
	dial playbooks.Dialer
	// scan gives the keys that a host presents, without logging in.
	scan func(ctx context.Context, h *inventory.Host) ([]ssh.HostKey, error)
	// passphrase gives those of authorities' keys.
	passphrase tasks.KeySecret
	close      func()
	// screen makes way for questions; nil: there is none.
	screen *printers.Screen
}

// dialer makes the door to some hosts; it asks for what has to be asked for beforehand. screen: see door.
func (o *connectOptions) dialer(sys *System, screen *printers.Screen, lists ...[]*inventory.Host) (*door, error) {
	if o.kept != nil {
		o.kept.screen = screen
		return &door{dial: o.kept.dial, scan: o.kept.scan, passphrase: o.kept.passphrase, close: func() {}}, nil
	}
	way := &door{screen: screen}
	words, err := newPasswords(sys, o.askBecome, lists...)
	if err != nil {
		return nil, err
	}
	opt := ssh.Options{SudoPassword: words.forSudo(lists...), Getenv: sys.Getenv}
	patience := &printers.Patience{Say: func(text string) {
		if way.screen == nil && sys.isTerminal(sys.Err) {
			fmt.Fprintln(sys.Err, text)
		}
	}}
	ask := func(question string) (answer []byte, err error) {
		patience.During(func() { answer, err = askBeside(sys, way.screen, question) })
		return answer, err
	}
	if sys.canAsk() {
		opt.Passphrase = func(file string) ([]byte, error) { return ask("passphrase of " + file + ": ") }
	}
	pool := ssh.NewPool(opt)
	way.dial = telling(func(ctx context.Context, h *inventory.Host, ahead ...transport.Step) (transport.Conn, error) {
		return pool.Dial(ctx, h.Target, ahead...)
	}, patience)
	way.scan = func(ctx context.Context, h *inventory.Host) ([]ssh.HostKey, error) {
		return ssh.ScanHostKeys(ctx, h.Target, pool)
	}
	way.passphrase = newPassphrases(words, ask).of
	way.close = func() { _ = pool.Close() }
	return way, nil
}

// keep makes one door for all that the command does until close, for those that work in two runs: nobody is asked twice for a password.
func (o *connectOptions) keep(sys *System, hosts []*inventory.Host) (closeIt func(), err error) {
	o.kept, err = o.dialer(sys, nil, hosts)
	if err != nil {
		return nil, err
	}
	return o.kept.close, nil
}

// roomFor refuses, before anything is contacted, to work on more hosts than this process may have files open for: all of them at once, or forks of
// them where each connection ends with its host's work (0: all).
func roomFor(forks int, lists ...[]*inventory.Host) error {
	var targets []transport.Target
	for _, list := range lists {
		for _, h := range list {
			targets = append(targets, h.Target)
		}
	}
	return asConfiguration(ssh.CheckOpenFiles(targets, forks))
}

// askBeside asks for a secret while the live display makes way.
func askBeside(sys *System, screen *printers.Screen, question string) (answer []byte, err error) {
	if screen == nil {
		return sys.secret(question)
	}
	screen.Pause(func() { answer, err = sys.secret(question) })
	return answer, err
}

// forSudo gives the function that the transport asks by the host's name; nil when no host has a password.
func (p *passwords) forSudo(lists ...[]*inventory.Host) func(context.Context, string) ([]byte, error) {
	hosts, some := map[string]*inventory.Host{}, p.typed != nil
	for _, list := range lists {
		for _, h := range list {
			hosts[h.Name] = h
			some = some || h.SudoPassword != nil
		}
	}
	if !some {
		return nil
	}
	return func(ctx context.Context, name string) ([]byte, error) {
		h, ok := hosts[name]
		if !ok {
			return nil, errors.New("no password is known for " + name)
		}
		return p.of(ctx, h)
	}
}
