package ssh

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"hash"
	"slices"
	"strings"
	"sync"

	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// hashedName is a name of a known_hosts file that is not to be read (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT): "|1|salt|hash", both base64, the hash an
// HMAC-SHA1 of the name with the salt as key.
type hashedName struct {
	mac  hash.Hash
	want []byte
}

// readHashed reads a field; false when it is no hashed name.
func readHashed(field string) (hashedName, bool) {
	parts := strings.Split(field, "|")
	if len(parts) != 4 || parts[0] != "" || parts[1] != "1" {
		return hashedName{}, false
	}
	salt, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		return hashedName{}, false
	}
	want, err := base64.StdEncoding.DecodeString(parts[3])
	return hashedName{hmac.New(sha1.New, salt), want}, err == nil
}

// is tells whether the name is this one; sum is room for a hash. It is not safe for concurrent use: hashing begins where the salt has been worked in, which is
// half of the work.
func (h hashedName) is(name, sum []byte) bool {
	h.mac.Reset()
	h.mac.Write(name)
	return bytes.Equal(h.mac.Sum(sum[:0]), h.want)
}

// hashedIs says whether a hashed name is this one.
func hashedIs(field, name string) bool {
	h, ok := readHashed(field)
	return ok && h.is([]byte(name), nil)
}

// index holds the lines of known_hosts files that name hosts, each by its name alone: no pattern, no marker. The library goes through all of its lines for
// each host, several times, which a large fleet notices.
type index struct {
	// plain: by name, as known_hosts has it: "host", or "[host]:port" when that is not 22.
	plain map[string][]xknownhosts.KnownKey

	mu sync.Mutex
	// hashed have a salt each, so a name has to be hashed with each line. That is done once for every name (found), and a line that was found to be of one
	// name is not tried with another.
	hashed []hashedLine
	found  map[string][]xknownhosts.KnownKey
}

type hashedLine struct {
	hashedName
	known xknownhosts.KnownKey
}

// add takes a line with these names in; false when it is for the library: one of them is a pattern or excludes hosts.
func (x *index) add(names []string, known xknownhosts.KnownKey) bool {
	if len(names) == 1 {
		if name, ok := readHashed(names[0]); ok {
			x.hashed = append(x.hashed, hashedLine{name, known})
			return true
		}
	}
	for _, name := range names {
		if name == "" || strings.ContainsAny(name, "*?!|") {
			return false
		}
	}
	if x.plain == nil {
		x.plain = map[string][]xknownhosts.KnownKey{}
	}
	for i, name := range names {
		if name = xknownhosts.Normalize(name); !slices.Contains(names[:i], name) {
			x.plain[name] = append(x.plain[name], known)
		}
	}
	return true
}

// keys gives the keys recorded for a name. It is safe for concurrent use.
func (x *index) keys(name string) []xknownhosts.KnownKey {
	name = xknownhosts.Normalize(name)
	x.mu.Lock()
	defer x.mu.Unlock()
	found, ok := x.found[name]
	if ok {
		return found
	}
	found = slices.Clone(x.plain[name])
	rest, plain, sum := x.hashed[:0], []byte(name), make([]byte, sha1.Size)
	for _, l := range x.hashed {
		if l.is(plain, sum) {
			found = append(found, l.known)
		} else {
			rest = append(rest, l)
		}
	}
	x.hashed = rest
	if x.found == nil {
		x.found = map[string][]xknownhosts.KnownKey{}
	}
	x.found[name] = found
	return found
}
