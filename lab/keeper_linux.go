package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const keeperFlags = syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET

// keeper holds the hosts of a lab. It is the first process of their common PID namespace.
type keeper struct {
	state  state
	layers layers
	mu     sync.Mutex
	hosts  map[string]*running
	// generation numbers the layers: a host that is reset gets a new one.
	generation int
	started    time.Time
	// changing: one request at a time starts and stops hosts.
	changing sync.Mutex
}

// running is a host that is up, or off with its layer kept.
type running struct {
	layer string
	pid   int // the machine's numbering; 0: off
	init  *exec.Cmd
	gone  chan struct{}
}

// outcome is the keeper's answer to Up and to a request.
type outcome struct {
	PIDs  map[string]int
	Error string
}

// The files that a keeper is started with: orders from Up, whose end is Up's end, the answers, and the machine's
// network namespace.
const (
	lifelineFile = 3
	answerFile   = 4
	machineFile  = 5
)

// detach, after the state, leaves the keeper on its own.
type detach struct{ Detach bool }

// keep is the keeper's life.
func keep() error {
	unix.CloseOnExec(lifelineFile)
	unix.CloseOnExec(answerFile)
	unix.CloseOnExec(machineFile)
	orders := json.NewDecoder(os.NewFile(lifelineFile, "orders"))
	answer := os.NewFile(answerFile, "answer")
	k := &keeper{hosts: map[string]*running{}, started: time.Now()}
	if err := orders.Decode(&k.state); errors.Is(err, io.EOF) {
		return nil // Up ended before it had recorded this process: nothing was made yet
	} else if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	go k.followUp(orders)
	if err := k.build(answer); err != nil {
		return errors.Join(err, send(answer, outcome{Error: err.Error()}))
	}
	l, err := listenAt(k.state.path("run", keeperSocket))
	if err != nil {
		return errors.Join(err, send(answer, outcome{Error: err.Error()}))
	}
	if err := send(answer, outcome{PIDs: k.pids()}); err != nil {
		return err
	}
	answer.Close()
	return k.serve(l)
}

// followUp ends the lab with the process that called Up, unless it said to go on alone.
func (k *keeper) followUp(orders *json.Decoder) {
	var d detach
	if err := orders.Decode(&d); err == nil && d.Detach {
		return
	}
	if k.state.Tied {
		_ = unix.Unmount(k.state.path("fs"), unix.MNT_DETACH)
		os.RemoveAll(k.state.Folder)
		os.Remove(filepath.Dir(k.state.Folder))
	}
	os.Exit(1)
}

func (k *keeper) build(answer *os.File) error {
	// A host's logins set their own login id (pam_loginuid(8)); best effort: kernels without audit have none.
	_ = os.WriteFile("/proc/self/loginuid", []byte("4294967295"), 0)
	machine := os.NewFile(machineFile, "network")
	defer machine.Close()
	if err := k.makeBridge(machine); err != nil {
		return err
	}
	if err := send(answer, outcome{}); err != nil {
		return err
	}
	if err := k.makeLayers(); err != nil {
		return err
	}
	k.log("layers are made")
	return k.startAll(k.state.Hosts, true)
}

func (k *keeper) log(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%8s "+format+"\n", append([]any{time.Since(k.started).Round(time.Millisecond)}, args...)...)
}

// makeLayers makes what hosts share.
func (k *keeper) makeLayers() error {
	err := command("", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "pgfleet-lab "+k.state.Name, "-f", k.state.path(keyFile))
	if err != nil {
		return err
	}
	publicKey, err := os.ReadFile(k.state.path(keyFile + ".pub"))
	if err != nil {
		return fmt.Errorf("read the lab's key: %w", err)
	}
	if k.layers, err = newLayers(k.state.path("fs")); err != nil {
		return err
	}
	if err := k.layers.create(baseLayer); err != nil {
		return err
	}
	if err := k.layers.mask(k.state); err != nil {
		return err
	}
	root := filepath.Join(k.layers.fs, "root")
	err = k.layers.edit(root, baseLayer, nil, func() error { return writeBase(root, string(publicKey)) })
	if err != nil || !k.hasCluster() {
		return err
	}
	if err := k.layers.create(clusterLayer); err != nil {
		return err
	}
	return k.layers.edit(root, clusterLayer, []string{baseLayer}, func() error { return makeCluster(root, k.state.Version) })
}

// edit changes a layer through a mount.
func (l layers) edit(root, layer string, lowers []string, change func() error) error {
	if err := l.mount(root, layer, lowers...); err != nil {
		return err
	}
	return errors.Join(change(), l.unmount(root))
}

// hasCluster tells whether any host has a PostgreSQL of the machine's.
func (k *keeper) hasCluster() bool {
	for _, h := range k.state.Hosts {
		if h.Role == DBServer && h.Installation == "" {
			return true
		}
	}
	return false
}

// startAll starts hosts, a few at a time; the first failure stops the rest.
func (k *keeper) startAll(hosts []Host, first bool) error {
	var group errgroup.Group
	group.SetLimit(2 * runtime.NumCPU())
	var failed sync.Once
	stop := make(chan struct{})
	for _, h := range hosts {
		group.Go(func() error {
			select {
			case <-stop:
				return nil
			default:
			}
			err := k.startHost(h, first)
			if err != nil {
				failed.Do(func() { close(stop) })
				return fmt.Errorf("start %s: %w", h.Short, err)
			}
			return nil
		})
	}
	return group.Wait()
}

func (k *keeper) pids() map[string]int {
	k.mu.Lock()
	defer k.mu.Unlock()
	pids := map[string]int{}
	for name, r := range k.hosts {
		pids[name] = r.pid
	}
	return pids
}
