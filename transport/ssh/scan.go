package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"

	"github.com/pgfleet/pgfleet/transport"
)

// HostKey is a key that a host showed, or a line to be written for it.
type HostKey struct {
	// Host is the inventory's name, Name what known_hosts has: "db1", "[db1]:2222", or the HostKeyAlias.
	Host, Name string
	// Type ("ssh-ed25519") and Fingerprint (SHA256:…).
	Type, Fingerprint string
	// Known: this very key is recorded. Changed: another of this type is. Others: only keys of other types are.
	Known, Changed, Others bool

	key ssh.PublicKey
}

// scanned are the kinds of keys that are asked for: one connection each, none of which tries to log in.
var scanned = [][]string{
	{ssh.KeyAlgoED25519},
	{ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521},
	{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256},
}

// errShown ends a handshake whose key has been seen.
var errShown = errors.New("key seen")

// ScanHostKeys gives the keys that a host shows, without logging in there; the bastions before it are logged in to and checked. nil
// pool: one with no options.
func ScanHostKeys(ctx context.Context, t transport.Target, pool *Pool) ([]HostKey, error) {
	if pool == nil {
		pool = NewPool(Options{})
		defer pool.Close()
	}
	known, err := pool.knownFor(ctx, t)
	if err != nil {
		return nil, err
	}
	var keys []HostKey
	var last error
	for _, algorithms := range scanned {
		key, err := pool.scan(ctx, t, algorithms)
		if err != nil {
			last = err
			if ctx.Err() != nil || len(keys) == 0 && !negotiation(err) {
				return nil, err
			}
			continue
		}
		keys = append(keys, known.judge(t, key))
	}
	if len(keys) == 0 {
		return nil, last
	}
	return keys, nil
}

// negotiation says whether the host answered, but has no key of that kind.
func negotiation(err error) bool {
	var n *ssh.AlgorithmNegotiationError
	return errors.As(err, &n)
}

func (p *Pool) scan(ctx context.Context, t transport.Target, algorithms []string) (ssh.PublicKey, error) {
	bastion, err := p.bastion(ctx, t.Jumps)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeoutCause(ctx, connectTimeout(t), fmt.Errorf("no answer within %v", connectTimeout(t)))
	defer cancel()
	raw, err := p.dial(limited, bastion, address(t))
	if err != nil {
		return nil, unreachable(t, causeOf(limited, err))
	}
	stop := context.AfterFunc(limited, func() { raw.Close() })
	defer stop()
	defer raw.Close()
	var shown ssh.PublicKey
	_, _, _, err = ssh.NewClientConn(raw, lookupName(t), &ssh.ClientConfig{User: t.User, HostKeyAlgorithms: algorithms,
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			shown = key
			return errShown
		}, ClientVersion: "SSH-2.0-pgfleet", Timeout: time.Minute})
	if shown == nil {
		return nil, unreachable(t, causeOf(limited, err))
	}
	return shown, nil
}

// judge compares a key with what is recorded.
func (k *knownHosts) judge(t transport.Target, key ssh.PublicKey) HostKey {
	h := HostKey{Host: t.Name, Name: knownhosts.Normalize(lookupName(t)), Type: key.Type(), Fingerprint: ssh.FingerprintSHA256(key), key: key}
	err := k.judgeKey(lookupName(t), key)
	h.Known = err == nil
	var keyErr *xknownhosts.KeyError
	if errors.As(err, &keyErr) {
		for _, w := range keyErr.Want {
			h.Changed = h.Changed || w.Key.Type() == key.Type()
		}
		h.Others = len(keyErr.Want) > 0 && !h.Changed
	}
	return h
}
