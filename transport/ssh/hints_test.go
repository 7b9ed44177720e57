package ssh

import (
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/pgfleet/pgfleet/transport"
)

func TestHintNamesTheKeysFile(t *testing.T) {
	for kind, want := range map[string]string{"ssh-ed25519": "ssh_host_ed25519_key.pub", "ecdsa-sha2-nistp256": "ssh_host_ecdsa_key.pub", "rsa-sha2-512": "ssh_host_rsa_key.pub"} {
		if got := (&HostKeyError{Type: kind}).Hint(); !strings.HasSuffix(got, "/etc/ssh/"+want) {
			t.Errorf("%s: %s", kind, got)
		}
	}
}

func TestUnreachableSaysThePlaceOnce(t *testing.T) {
	target := transport.Target{Name: "db1", Address: "192.0.2.1", Port: 22}
	err := unreachable(target, &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 22}, Err: syscall.ECONNREFUSED})
	if got := err.Error(); strings.Count(got, "192.0.2.1") != 1 || !errors.Is(err, transport.ErrUnreachable) || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error(got)
	}
	err = unreachable(target, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "db1", IsNotFound: true}})
	var hint interface{ Hint() string }
	if !errors.As(err, &hint) || !strings.Contains(hint.Hint(), "address: ") || !errors.Is(err, transport.ErrUnreachable) {
		t.Error(err)
	}
}
