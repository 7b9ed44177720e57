package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
)

// Hosts are the lab's hosts in order; PID is 0 for those that are off, and for all where the caller may not ask (not root).
func (l *Lab) Hosts() []Host {
	hosts := slices.Clone(l.state.Hosts)
	answer, err := l.request(context.Background(), request{Ask: askStatus})
	if err != nil {
		return hosts
	}
	for i := range hosts {
		hosts[i].PID = answer.PIDs[hosts[i].Short]
	}
	return hosts
}

func (l *Lab) known(name string) (Host, error) {
	for _, h := range l.state.Hosts {
		if h.Name == name || h.Short == name {
			return h, nil
		}
	}
	return Host{}, fmt.Errorf("lab %s has no host %q; see: pgfleet-lab hosts", l.state.Name, name)
}

func (l *Lab) ask(ctx context.Context, what string, names []string) error {
	q := request{Ask: what}
	for _, name := range names {
		h, err := l.known(name)
		if err != nil {
			return err
		}
		q.Hosts = append(q.Hosts, h.Short)
	}
	if len(names) == 0 {
		for _, h := range l.state.Hosts {
			q.Hosts = append(q.Hosts, h.Short)
		}
	}
	answer, err := l.request(ctx, q)
	if err != nil {
		return fmt.Errorf("%s hosts: %w", what, err)
	}
	if answer.Error != "" {
		return fmt.Errorf("%s hosts: %w", what, errors.New(answer.Error))
	}
	return nil
}

// request asks the keeper.
func (l *Lab) request(ctx context.Context, q request) (outcome, error) {
	var answer outcome
	conn, err := dialAt(l.state.path("run", keeperSocket))
	if errors.Is(err, os.ErrPermission) {
		return answer, fmt.Errorf("reach lab %s: only root may: run it with sudo", l.state.Name)
	}
	if err != nil {
		return answer, fmt.Errorf("reach the keeper of lab %s (%s): %w", l.state.Name, l.state.Folder, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := sendMessage(conn, q); err != nil {
		return answer, err
	}
	if _, err := receiveMessage(conn, &answer); ctx.Err() != nil {
		return answer, context.Cause(ctx)
	} else if err != nil {
		return answer, err
	}
	return answer, nil
}
