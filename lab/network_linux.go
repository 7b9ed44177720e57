package lab

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"time"

	"golang.org/x/sys/unix"
)

var vethName = regexp.MustCompile(`^pfl[0-9a-f]{8}$`)

// lockNetworks keeps two labs from choosing the same network: an abstract socket (unix(7)) is gone with its process.
func lockNetworks() (unlock func(), err error) {
	deadline := time.Now().Add(time.Minute)
	for {
		l, err := net.Listen("unix", "@pgfleet-lab-networks")
		if err == nil {
			return func() { l.Close() }, nil
		}
		if !errors.Is(err, unix.EADDRINUSE) || time.Now().After(deadline) {
			return nil, fmt.Errorf("lock the choice of networks: %w", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// chooseNetwork picks a free subnet and the name of the machine's interface in it.
func (l *Lab) chooseNetwork() error {
	used, err := usedNetworks()
	if err != nil {
		return err
	}
	subnet, err := freeSubnet(subnetBits(len(l.state.Hosts)), used)
	if err != nil {
		return err
	}
	number(l.state.Hosts, subnet)
	l.state.Subnet = subnet.String()
	l.state.Gateway = subnet.Addr().Next().String()
	name := make([]byte, 4)
	rand.Read(name)
	l.state.Veth = "pfl" + hex.EncodeToString(name)
	return nil
}

// makeUplink connects the bridge's namespace, the keeper's own, with the machine's. Both ends vanish with the keeper. machine is the machine's
// network namespace.
func (k *keeper) makeUplink(machine *os.File) error {
	bits := netip.MustParsePrefix(k.state.Subnet).Bits()
	inside := fmt.Sprintf("link add name uplink type veth peer name %s netns /proc/self/fd/3\n", k.state.Veth)
	if err := commandWith(machine, inside, "/usr/sbin/ip", "-batch", "-"); err != nil {
		return err
	}
	outside := fmt.Sprintf("address add %[2]s/%[3]d brd + dev %[1]s\nlink set %[1]s up\n", k.state.Veth, k.state.Gateway, bits)
	return commandWith(machine, outside, "/usr/bin/nsenter", "--net=/proc/self/fd/3", "/usr/sbin/ip", "-batch", "-")
}

// disconnect removes the interface where the kernel has not yet.
func (s state) disconnect() error {
	if !vethName.MatchString(s.Veth) {
		return nil
	}
	for range 100 {
		if _, err := os.Lstat("/sys/class/net/" + s.Veth); errors.Is(err, os.ErrNotExist) {
			return nil
		}
		// It may vanish between the look and the command.
		_ = command("", "/usr/sbin/ip", "link", "delete", s.Veth)
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("remove interface %s: it is still there", s.Veth)
}
