package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// bootOrder is what the keeper tells the first process of a host.
type bootOrder struct {
	State state
	Host  Host
	// Layer is the host's own; First: it is new.
	Layer string
	First bool
	Trees []string
	// Files are written on the first boot: keys, names, rules.
	Files []entryText
	// Cluster: the system identifier of the host's own PostgreSQL cluster.
	Cluster uint64
}

// booted is the host's answer.
type booted struct {
	PID   int
	Error string
}

// The files that the first process of a host is started with.
const (
	orderFile   = 3
	controlFile = 4
	bootedFile  = 5
)

// runHost is the first process of a host. It ends never; when it does, the kernel ends the host.
func runHost() error {
	var order bootOrder
	if err := json.NewDecoder(os.NewFile(orderFile, "order")).Decode(&order); err != nil {
		return fmt.Errorf("read boot order: %w", err)
	}
	answer := os.NewFile(bootedFile, "booted")
	unix.CloseOnExec(controlFile)
	unix.CloseOnExec(bootedFile)
	unix.CloseOnExec(orderFile)
	r := newReaper()
	pid, err := boot(order, r)
	if err != nil {
		return send(answer, booted{Error: err.Error()})
	}
	control, err := net.FileListener(os.NewFile(controlFile, "control"))
	if err != nil {
		return send(answer, booted{Error: err.Error()})
	}
	if err := send(answer, booted{PID: pid}); err != nil {
		return err
	}
	answer.Close()
	return serveCommands(control.(*net.UnixListener), r)
}

// boot builds the host and starts its services; pid is this process in the machine's numbering.
func boot(order bootOrder, r *reaper) (pid int, err error) {
	// The machine's /proc is still there.
	self, err := os.Readlink("/proc/self")
	if err != nil {
		return 0, fmt.Errorf("read own process id: %w", err)
	}
	if pid, err = strconv.Atoi(self); err != nil {
		return 0, fmt.Errorf("read own process id: %w", err)
	}
	if err := enterRoot(order); err != nil {
		return 0, err
	}
	if err := unix.Sethostname([]byte(order.Host.Short)); err != nil {
		return 0, fmt.Errorf("set host name: %w", err)
	}
	if err := startNetwork(order, r); err != nil {
		return 0, err
	}
	if order.First {
		if err := settle(order, r); err != nil {
			return 0, err
		}
	}
	return pid, startServices(order, r)
}

// enterRoot makes the host's layers its root file system and forgets the machine's.
func enterRoot(order bootOrder) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to this namespace: %w", err)
	}
	l := layers{fs: order.State.path("fs"), trees: order.Trees}
	root := filepath.Join(l.fs, "root")
	lowers := []string{baseLayer}
	if order.Host.Role == DBServer && order.Host.Installation == "" {
		lowers = []string{clusterLayer, baseLayer}
	}
	if err := l.mount(root, order.Layer, lowers...); err != nil {
		return err
	}
	if err := mountSystem(root); err != nil {
		return err
	}
	if err := mountInstallation(root, order.Host); err != nil {
		return err
	}
	if err := os.Chdir(root); err != nil {
		return fmt.Errorf("enter root: %w", err)
	}
	// pivot_root(2), "pivot_root(".", ".")": the old root lies over the new one until it is unmounted.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the machine's root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return fmt.Errorf("enter root: %w", err)
	}
	return protectProc()
}

// protectProc: the kernel's settings and keys are the whole machine's.
func protectProc() error {
	for _, path := range []string{"/proc/sys", "/proc/sysrq-trigger"} {
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			continue // a kernel without it
		}
		if err := unix.Mount(path, path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("protect %s: %w", path, err)
		}
		if err := unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
			return fmt.Errorf("protect %s: %w", path, err)
		}
	}
	return nil
}

func startNetwork(order bootOrder, r *reaper) error {
	_, bits, _ := strings.Cut(order.State.Subnet, "/")
	for _, args := range []string{
		"link set lo up",
		"address add " + order.Host.Addr + "/" + bits + " brd + dev eth0",
		"link set eth0 up",
	} {
		if err := r.run(append([]string{"/usr/sbin/ip"}, strings.Fields(args)...)...); err != nil {
			return err
		}
	}
	return nil
}

// startServices starts what runs on the host, and waits until it answers.
func startServices(order bootOrder, r *reaper) error {
	a, err := readAccounts("/")
	if err != nil {
		return err
	}
	postgres, err := a.id("postgres")
	if err != nil {
		return err
	}
	err = writeAll("/", []entry{
		{"/run/sshd", os.ModeDir | 0o755, 0, 0, ""},
		{"/run/lock", os.ModeDir | os.ModeSticky | 0o777, 0, 0, ""},
		{"/run/utmp", 0o664, 0, 0, ""},
		{"/run/postgresql", os.ModeDir | os.ModeSetgid | 0o775, postgres.uid, postgres.gid, ""},
	})
	if err != nil {
		return err
	}
	// As a child of process 1 it stays in the foreground; -D says so.
	if _, _, err := r.start([]string{"/usr/sbin/sshd", "-D", "-E", "/var/log/auth.log"}, []uintptr{0, 1, 2}); err != nil {
		return err
	}
	if order.Host.Port != 22 {
		if err := startProxy(order.Host, order.State.RTT); err != nil {
			return err
		}
	}
	if order.Host.Role == DBServer {
		if err := startCluster(order, r); err != nil {
			return err
		}
	}
	return awaitPort(net.JoinHostPort(order.Host.Addr, strconv.Itoa(order.Host.Port)))
}

func awaitPort(address string) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("await sshd: %w", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// startProxy answers for sshd at the host's other SSH port, later.
func startProxy(h Host, rtt time.Duration) error {
	l, err := net.Listen("tcp", net.JoinHostPort(h.Addr, strconv.Itoa(h.Port)))
	if err != nil {
		return fmt.Errorf("listen for delayed SSH: %w", err)
	}
	go func() { _ = delayed(l, net.JoinHostPort(h.Addr, "22"), rtt) }()
	return nil
}
