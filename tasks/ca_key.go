package tasks

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

// KeySecret gives the passphrase of an authority's key. made: the key is there already; otherwise it is going to be made with what is given. It is asked
// only when the key is to be used, and may be asked several times in a run. Its error never holds the passphrase.
type KeySecret func(ctx context.Context, a pki.Authority, made bool) ([]byte, error)

// longestPassphrase is what every openssl takes, in bytes.
const longestPassphrase = 1000

// open gives a call of ca.sh what it needs to use the key.
func (secret KeySecret) open(ctx context.Context, a pki.Authority, made bool, step transport.Step) (transport.Step, error) {
	if a.Passphrase == nil {
		return step, nil
	}
	var field string
	if path, ok := a.Passphrase["host_file"].(string); ok {
		field = "passphrase-file " + octal([]byte(path))
	} else {
		if secret == nil {
			return step, fmt.Errorf("%s: nobody can be asked for it: %w", a.SecretName(), ErrRefused)
		}
		text, err := secret(ctx, a, made)
		if err == nil {
			err = checkPassphrase(text)
		}
		if err != nil {
			return step, fmt.Errorf("%s: %w", a.SecretName(), err)
		}
		field = "passphrase " + octal(text)
	}
	// Behind the program's own first line, which in mode restricted is the second one.
	before, after, _ := bytes.Cut(step.Stdin, []byte("pgfleet-ca "))
	head, rest, _ := bytes.Cut(after, []byte("\n"))
	step.Stdin = slices.Concat(before, []byte("pgfleet-ca "), head, []byte("\n"+field+"\n"), rest)
	return step, nil
}

// OpenProbe is AuthorityProbe that opens the key, too: ParseAuthority then fails where it cannot be opened, and gives the key's own public half. It changes nothing.
func (secret KeySecret) OpenProbe(ctx context.Context, a pki.Authority) (transport.Step, error) {
	return secret.open(ctx, a, true, AuthorityProbe(a))
}

// checkPassphrase refuses what would not arrive at openssl as it is.
func checkPassphrase(text []byte) error {
	switch {
	case len(text) < 4:
		return errors.New("it has fewer than 4 characters")
	case len(text) > longestPassphrase:
		return fmt.Errorf("it has more than %d bytes", longestPassphrase)
	case bytes.ContainsAny(text, "\x00\n\r"):
		return errors.New("it has a line break or a zero byte in it")
	}
	return nil
}

// lockedOut is why the key could not be opened, nil when that was not asked for or has worked.
func (r *caReply) lockedOut() error {
	answer, err := r.answer("unlock")
	if err != nil {
		return nil
	}
	return answer.err()
}

// CanSign refuses an authority whose key is another than that of its certificate, as far as its host could see.
func (c *CA) CanSign(name string) error {
	a, err := c.authority(name)
	if err != nil || a.Foreign() {
		return err
	}
	state, err := c.state(a)
	if err != nil {
		return err
	}
	if err := refusePair(a, state); err != nil {
		return fmt.Errorf("authority %s on %s: %w", name, a.Host, err)
	}
	return nil
}

// refusePair refuses a key that does not belong to the authority's certificate. One that its host cannot read (passphrase, token) is not judged.
func refusePair(a pki.Authority, s *AuthorityState) error {
	if s.PublicKey == nil || s.Certificate == nil || pki.SameKey(s.PublicKey, s.Certificate.PublicKey) {
		return nil
	}
	return fmt.Errorf("%[1]s/keys/ca.key does not belong to %[1]s/certs/ca.crt (public keys differ): bring back the one that does: %[2]w", a.DirOrDefault(), ErrRefused)
}

// refuseKey refuses a key that has a passphrase where the inventory gives none, and the other way round.
func refuseKey(a pki.Authority, s *AuthorityState) error {
	key := a.DirOrDefault() + "/keys/ca.key"
	switch {
	case a.Key != "" && s.Token == "" && s.PublicKey != nil:
		return fmt.Errorf("its key is in a file, %s, declared is %s: to move it, put it into the token by hand and take the file away, or take the line out of the inventory: %w", key, a.Key, ErrRefused)
	case a.Key != s.Token && s.Token != "":
		return fmt.Errorf("its key is %s, declared is %s: an authority keeps its key; declare a new authority: %w", s.Token, cmp.Or(a.Key, "a key in a file"), ErrRefused)
	case a.Key != "":
		return nil
	case s.Encrypted && a.Passphrase == nil:
		return fmt.Errorf("its key %s has a passphrase: say in the inventory where it comes from, for example passphrase: prompt: %w", key, ErrRefused)
	case !s.Encrypted && s.PublicKey != nil && a.Passphrase != nil:
		return fmt.Errorf("the inventory gives a passphrase for it, but its key %s has none: on %s, as root, add it with `umask 077 && openssl pkcs8 -topk8 -v2 aes-256-cbc -scrypt "+
			"-in %[1]s -out %[1]s.new && mv %[1]s.new %[1]s`, or take the line out of the inventory: %[3]w", key, a.Host, ErrRefused)
	}
	return nil
}
