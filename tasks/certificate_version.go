package tasks

import (
	"bytes"
	"crypto/x509"
	"path"
	"time"
)

// version is one folder with a key and, once it has been issued, its certificate.
type version struct {
	// Gen is the folder's name; names sort by age. Dir is its path.
	Gen, Dir string
	Key, Crt *entry
	// Chain is the certificate and those above it up to but without the root, leaf first.
	Chain []*x509.Certificate
}

// versionsIn gives the versions in a folder that versions of certificate_look.sh listed, oldest first.
func (l *look) versionsIn(folder, name string) []version {
	var out []version
	for _, gen := range l.below(folder) {
		dir := path.Join(folder, gen)
		if l.entry(dir).Kind != "dir" {
			continue
		}
		v := version{Gen: gen, Dir: dir, Key: l.entry(path.Join(dir, name+".key")), Crt: l.entry(path.Join(dir, name+".crt"))}
		v.Chain = v.Crt.certificates()
		out = append(out, v)
	}
	return out
}

// complete tells whether there is a certificate that belongs to a readable key.
func (v *version) complete() bool {
	return v != nil && len(v.Chain) > 0 && len(v.Key.spki()) > 0 && bytes.Equal(v.Chain[0].RawSubjectPublicKeyInfo, v.Key.spki())
}

// pending tells whether the key waits for its certificate: an interrupted run left it.
func (v *version) pending() bool { return len(v.Key.spki()) > 0 && v.Crt.Kind == "absent" }

// leaf is the certificate, nil when there is none.
func (v *version) leaf() *x509.Certificate {
	if v == nil || len(v.Chain) == 0 {
		return nil
	}
	return v.Chain[0]
}

// generation gives a version's name that none in use has: the time, in UTC, so that names sort by age.
func generation(now time.Time, used []version) string {
	name := now.UTC().Format("20060102T150405Z")
	for free := false; !free; {
		free = true
		for _, v := range used {
			if v.Gen >= name {
				name, free = v.Gen+"a", false
			}
		}
	}
	return name
}

// versionNamed gives the version whose folder holds a file, nil when none does.
func versionNamed(versions []version, file string) *version {
	for i := range versions {
		if file != "" && path.Dir(file) == versions[i].Dir {
			return &versions[i]
		}
	}
	return nil
}
