package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Up makes a lab and waits until every host answers. When ctx ends or a step fails, nothing is left. A process that is killed in the middle
// leaves a folder, and perhaps its keeper for a moment; Down removes both.
func Up(ctx context.Context, o Options) (*Lab, error) {
	o, err := o.filled()
	if err != nil {
		return nil, err
	}
	hosts, err := plan(o)
	if err != nil {
		return nil, err
	}
	if err := Available(); err != nil {
		return nil, err
	}
	l := &Lab{state: state{
		Name: o.Name, Folder: o.Folder, RTT: o.RTT, Standby: o.Standby, Resolve: o.Resolve, LogSessions: o.LogSessions, Tied: o.Tied, Owner: caller(), Hosts: hosts,
	}}
	l.state.Mask = append(checkouts(), o.Mask...)
	if l.state.Version, err = postgresVersion(); err != nil {
		return nil, err
	}
	if err := versions(hosts, l.state.Version); err != nil {
		return nil, err
	}
	lock, err := claim(o.Folder)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := l.make(ctx, o); err != nil {
		return nil, errors.Join(l.explain(err), l.remove())
	}
	return l, nil
}

// make does the work of Up in a claimed folder.
func (l *Lab) make(ctx context.Context, o Options) error {
	orders, answers, err := l.connected(ctx, o)
	if err != nil {
		return err
	}
	defer answers.file.Close()
	if err := answers.next(ctx); err != nil {
		orders.Close()
		return err
	}
	err = l.writeController()
	if err == nil {
		err = l.makeStandbys(ctx, o)
	}
	if err != nil {
		orders.Close()
		return err
	}
	if l.state.Tied {
		l.lifeline = orders
		return nil
	}
	defer orders.Close()
	return send(orders, detach{true})
}

// connected gives a keeper that has its network. From then on others see that it is in use.
func (l *Lab) connected(ctx context.Context, o Options) (*os.File, *answers, error) {
	unlock, err := lockNetworks()
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	if err := l.prepare(); err != nil {
		return nil, nil, err
	}
	step(o, "lab %s: %d hosts in %s, files in %s", l.state.Name, len(l.state.Hosts), l.state.Subnet, l.state.Folder)
	orders, answer, err := l.startKeeper(ctx)
	if err != nil {
		return nil, nil, err
	}
	a := &answers{answer, json.NewDecoder(answer)}
	if err := a.next(ctx); err != nil {
		orders.Close()
		answer.Close()
		return nil, nil, err
	}
	return orders, a, nil
}

func step(o Options, format string, args ...any) {
	if o.Log != nil {
		fmt.Fprintf(o.Log, format+"\n", args...)
	}
}

// claim makes the state folder, and holds it against a second Up or Down until it is closed.
func claim(folder string) (*os.File, error) {
	if err := makeFolder(folder); err != nil {
		return nil, err
	}
	// Whatever the umask: the controller's files may be another user's.
	if err := os.Chmod(folder, 0o755); err != nil {
		return nil, fmt.Errorf("make state folder: %w", err)
	}
	lock, err := lockFolder(folder)
	if err != nil {
		return nil, err
	}
	found, err := os.ReadDir(folder)
	if err == nil && len(found) > 0 {
		err = fmt.Errorf("%s is not empty: a lab is up, or was left behind; end it with: pgfleet-lab down", folder)
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

func makeFolder(folder string) error {
	err := os.MkdirAll(folder, 0o755)
	if errors.Is(err, fs.ErrNotExist) {
		// A Down of the last other lab removed Root in between.
		err = os.MkdirAll(folder, 0o755)
	}
	if err == nil && filepath.Dir(folder) == Root {
		err = os.Chmod(Root, 0o755)
	}
	if err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	return nil
}

func lockFolder(folder string) (*os.File, error) {
	f, err := os.Open(folder)
	if err != nil {
		return nil, fmt.Errorf("open state folder: %w", err)
	}
	// A child of an Up that was just killed holds the lock until it has become its program: a moment.
	for deadline := time.Now().Add(3 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: another pgfleet-lab is at work on it: %w", folder, err)
	}
	return f, nil
}

// prepare makes the folders. The record comes first.
func (l *Lab) prepare() error {
	if err := l.chooseNetwork(); err != nil {
		return err
	}
	if err := l.state.save(); err != nil {
		return err
	}
	for _, dir := range []string{"run", "hosts", "log", "fs"} {
		if err := os.Mkdir(l.state.path(dir), 0o700); err != nil {
			return fmt.Errorf("make state folder: %w", err)
		}
	}
	return nil
}

// caller is who asked sudo to run this, or root: the controller's files are theirs.
func caller() owner {
	uid, err1 := strconv.Atoi(os.Getenv("SUDO_UID"))
	gid, err2 := strconv.Atoi(os.Getenv("SUDO_GID"))
	if err1 != nil || err2 != nil {
		return owner{}
	}
	return owner{uid, gid}
}

// checkouts are the source folders that hosts must not see: the one of the working directory.
func checkouts() []string {
	dir, err := os.Getwd()
	if err != nil {
		return nil
	}
	for ; dir != "/" && dir != "."; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return []string{dir}
		}
	}
	return nil
}

// answers are what a starting keeper says: its network is there; its hosts are up.
type answers struct {
	file    *os.File
	decoder *json.Decoder
}

func (a *answers) next(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = a.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var o outcome
	if err := a.decoder.Decode(&o); ctx.Err() != nil {
		return context.Cause(ctx)
	} else if err != nil {
		return fmt.Errorf("await hosts: the keeper ended: %w", err)
	}
	if o.Error != "" {
		return errors.New(o.Error)
	}
	return nil
}

// explain adds the end of the keeper's log.
func (l *Lab) explain(err error) error {
	text, readErr := os.ReadFile(l.state.path("log", keeperLog))
	if readErr != nil || len(text) == 0 {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return fmt.Errorf("%w\n%s", err, strings.Join(lines[max(0, len(lines)-20):], "\n"))
}

// writeController writes what pgfleet and ssh need to reach the hosts.
func (l *Lab) writeController() error {
	var known strings.Builder
	for _, h := range l.state.Hosts {
		var keys []string
		for _, kind := range hostKeyKinds {
			text, err := os.ReadFile(l.state.hostKey(h, kind) + ".pub")
			if err != nil {
				return fmt.Errorf("read host key: %w", err)
			}
			keys = append(keys, string(text))
		}
		known.WriteString(knownHostsLines(h, keys))
	}
	files := map[string]string{knownHostsFile: known.String(), inventoryFile: l.Inventory(), sshConfigFile: l.SSHConfig(), passwordFile: OpsPassword + "\n"}
	for name, text := range files {
		mode := fs.FileMode(0o644)
		if name == passwordFile {
			mode = 0o600
		}
		if err := writeFile(l.state.path(name), []byte(text), mode); err != nil {
			return err
		}
	}
	for _, name := range append(slices.Collect(maps.Keys(files)), keyFile, keyFile+".pub") {
		if err := os.Chown(l.state.path(name), l.state.Owner.UID, l.state.Owner.GID); err != nil {
			return fmt.Errorf("give away controller files: %w", err)
		}
	}
	return nil
}

// usedNetworks are this machine's.
func usedNetworks() ([]netip.Prefix, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list this machine's networks: %w", err)
	}
	var used []netip.Prefix
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			used = append(used, p)
		}
	}
	return used, nil
}
