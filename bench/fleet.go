package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/pgfleet/pgfleet/lab"
)

// fleet is the lab that all tools work on in turns, and the files with which the peers find it.
type fleet struct {
	lab    *lab.Lab
	work   string // this fleet's files, and what the tools leave
	size   int
	rtt    time.Duration
	counts map[string]counts // what each host had counted when it was last asked
}

func newFleet(ctx context.Context, size int, rtt time.Duration, log io.Writer) (*fleet, error) {
	l, err := lab.Up(ctx, lab.Options{Name: "bench", DB: size, Client: size, RTT: rtt, LogSessions: true, Tied: true, Log: log})
	if err != nil {
		return nil, err
	}
	f := &fleet{lab: l, size: size, rtt: rtt}
	// Short: it holds sockets.
	if f.work, err = os.MkdirTemp("", "bench-"); err == nil {
		err = f.describe()
	}
	if err != nil {
		return nil, errors.Join(err, f.end(ctx))
	}
	return f, nil
}

// end leaves nothing, also when the run was interrupted.
func (f *fleet) end(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	err := f.lab.Down(ctx)
	return errors.Join(err, os.RemoveAll(f.work))
}

// reset makes every host fresh, and lets it come to rest.
func (f *fleet) reset(ctx context.Context) error {
	if err := f.lab.Reset(ctx); err != nil {
		return err
	}
	f.counts = map[string]counts{}
	select {
	case <-time.After(time.Second):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// counted asks every host what happened on it since the last time.
func (f *fleet) counted(ctx context.Context) (counts, error) {
	var all counts
	for _, h := range f.lab.Hosts() {
		out, err := f.lab.Exec(ctx, h.Short, []string{"sh", "-c", countScript}, nil)
		if err != nil {
			return all, err
		}
		now, err := readCounts(out.Stdout)
		if err != nil {
			return all, fmt.Errorf("%s: %w", h.Short, err)
		}
		before := f.counts[h.Short]
		f.counts[h.Short] = now
		all.connections += now.connections - before.connections
		all.sessions += now.sessions - before.sessions
		all.processes += now.processes - before.processes - countProcesses
	}
	return all, nil
}

// of gives the hosts of a role.
func (f *fleet) of(role lab.Role) []lab.Host {
	var hosts []lab.Host
	for _, h := range f.lab.Hosts() {
		if h.Role == role {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// each does one thing for all hosts, a few at a time, and gives the errors.
func each(hosts []lab.Host, atOnce int, do func(lab.Host) error) error {
	var wg sync.WaitGroup
	slots, errs := make(chan struct{}, atOnce), make([]error, len(hosts))
	for i, h := range hosts {
		slots <- struct{}{}
		wg.Go(func() {
			errs[i] = do(h)
			<-slots
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// describe writes the fleet in the words of the peers: Ansible's inventory, and a list of hosts for the script.
func (f *fleet) describe() error {
	var list strings.Builder
	for _, h := range f.lab.Hosts() {
		fmt.Fprintf(&list, "%s %s %s %s\n", h.Role, h.Short, h.Name, h.Addr)
	}
	for name, text := range map[string]string{"hosts.txt": list.String(), "hosts.ini": f.ansibleInventory()} {
		if err := os.WriteFile(filepath.Join(f.work, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("describe the fleet: %w", err)
		}
	}
	return nil
}

func (f *fleet) ansibleInventory() string {
	var b strings.Builder
	for _, role := range []lab.Role{lab.RootCA, lab.IntermediateCA, lab.DBServer, lab.Client} {
		fmt.Fprintf(&b, "[%s]\n", role)
		for _, h := range f.of(role) {
			fmt.Fprintf(&b, "%s ansible_host=%s ansible_port=%d short=%s\n", h.Name, h.Addr, h.Port, h.Short)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "[all:vars]\nansible_user=%s\nansible_ssh_private_key_file=%s\nansible_ssh_common_args=-o UserKnownHostsFile=%s -o IdentitiesOnly=yes\nansible_python_interpreter=/usr/bin/python3\n",
		lab.AdminUser, filepath.Join(f.lab.Folder(), "id_ed25519"), filepath.Join(f.lab.Folder(), "known_hosts"))
	return b.String()
}
