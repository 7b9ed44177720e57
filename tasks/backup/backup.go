// Package backup is the file in which an authority is kept away from its host: a gzipped tar of the authority's folder, its key encrypted to somebody
// else. Pure: no connection, no clock of its own. It never sees an opened key.
//
// The first file of the tar is manifest.json; the others have their names in the authority's folder, so that a person with tar and the recipient's
// identity needs no pgfleet to bring it back.
package backup

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// Format is the version of the file that this package writes and reads.
const Format = 1

// ErrDamaged: the file is not all of a backup of an authority, or not as it was written. ErrNone: it is no backup at all.
var (
	ErrDamaged = errors.New("the backup is damaged")
	ErrNone    = errors.New("this is no backup of an authority: a file of `pgfleet authority backup` is wanted, AUTHORITY-TIME.tar.gz")
)

// longest is the size that a backup may have when it is read, in bytes: some 200,000 certificates.
const longest = 1 << 29

// Manifest says what a backup is of.
type Manifest struct {
	Format int `json:"format"`
	// Authority by its name in the inventory; Host and Dir where it was.
	Authority string `json:"authority"`
	Host      string `json:"host"`
	Dir       string `json:"dir"`
	// Made is the time of the authority's host.
	Made time.Time `json:"made"`
	// Sealed is how the key is encrypted: age or cms (RFC 5652); token: it is in a token, and not in the backup.
	Sealed string `json:"sealed"`
	// Passphrase: below that encryption the key has a passphrase of its own.
	Passphrase bool `json:"key_has_passphrase"`
	// Files are all others, in the order of their names.
	Files []File `json:"files"`
}

// File is one file of a backup.
type File struct {
	Path   string `json:"path"`
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"`
}

// Backup is a manifest and the bytes of its files, by name. Write fills Manifest.Files.
type Backup struct {
	Manifest
	Content map[string][]byte
}

// nameRE is what a file of a backup may be called.
var nameRE = regexp.MustCompile(`^(authority|index\.txt|crlnumber|policy|keys/ca\.(key\.(age|cms)|pkcs11)|certs/[A-Za-z0-9][A-Za-z0-9._-]*|crl/ca\.crl|(issued|revoked)/[0-9A-F]+)$`)

// Belongs tells whether a file of that name in an authority's folder is part of a backup.
func Belongs(name string) bool { return nameRE.MatchString(name) }

// Key is the name of the encrypted key, or of the URI of one in a token.
func (b *Backup) Key() string {
	if b.Sealed == "token" {
		return "keys/ca.pkcs11"
	}
	return "keys/ca.key." + b.Sealed
}

// Certificate is the authority's own.
func (b *Backup) Certificate() (*x509.Certificate, error) {
	certs, err := pki.ParseCertificates(b.Content["certs/ca.crt"])
	if err != nil {
		return nil, fmt.Errorf("%w: certs/ca.crt: %w", ErrDamaged, err)
	}
	return certs[0], nil
}

// List is the newest list of revoked certificates, nil when there was none.
func (b *Backup) List() (*x509.RevocationList, error) {
	data, ok := b.Content["crl/ca.crl"]
	if !ok {
		return nil, nil
	}
	lists, err := pki.ParseCRLs(data)
	if err != nil {
		return nil, fmt.Errorf("%w: crl/ca.crl: %w", ErrDamaged, err)
	}
	return lists[0], nil
}

// Serials of the records in a folder (issued, revoked), as FormatSerial writes them, in order.
func (b *Backup) Serials(folder string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(b.Content)) {
		if serial, ok := strings.CutPrefix(name, folder+"/"); ok {
			out = append(out, serial)
		}
	}
	return out
}

// check refuses a backup that could not be restored.
func (b *Backup) check() error {
	for name := range b.Content {
		if !Belongs(name) {
			return fmt.Errorf("%w: %.80q is no file of an authority", ErrDamaged, name)
		}
	}
	head, ok := map[string]string{"age": "-----BEGIN AGE ENCRYPTED FILE-----\n", "cms": "-----BEGIN CMS-----\n", "token": "pkcs11:"}[b.Sealed]
	if !ok {
		return fmt.Errorf("%w: its key is encrypted by %.20q, not by age or cms", ErrDamaged, b.Sealed)
	}
	for _, name := range []string{"authority", "certs/ca.crt", b.Key()} {
		if len(b.Content[name]) == 0 {
			return fmt.Errorf("%w: it lacks %s", ErrDamaged, name)
		}
	}
	if !bytes.HasPrefix(b.Content[b.Key()], []byte(head)) {
		return fmt.Errorf("%w: %s is not encrypted", ErrDamaged, b.Key())
	}
	if _, err := b.Certificate(); err != nil {
		return err
	}
	_, err := b.List()
	return err
}

// Write writes a backup. ErrDamaged when it is none: nothing was written then.
func Write(w io.Writer, b *Backup) error {
	if err := b.check(); err != nil {
		return err
	}
	m := b.Manifest
	m.Format, m.Files = Format, nil
	for _, name := range slices.Sorted(maps.Keys(b.Content)) {
		sum := sha256.Sum256(b.Content[name])
		m.Files = append(m.Files, File{name, len(b.Content[name]), hex.EncodeToString(sum[:])})
	}
	manifest, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	packed := gzip.NewWriter(w)
	out := tar.NewWriter(packed)
	put := func(name string, data []byte) {
		if err == nil {
			err = out.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(data)), ModTime: m.Made, Typeflag: tar.TypeReg})
		}
		if err == nil {
			_, err = out.Write(data)
		}
	}
	put("manifest.json", append(manifest, '\n'))
	for _, f := range m.Files {
		put(f.Path, b.Content[f.Path])
	}
	return cmp.Or(err, out.Close(), packed.Close())
}

// Read reads a backup and sees that it is whole: every file of the manifest, none else, each as it was. ErrDamaged otherwise, ErrNone when it does not even begin
// as one does.
func Read(r io.Reader) (*Backup, error) {
	packed := bufio.NewReader(r)
	if magic, err := packed.Peek(2); string(magic) != "\x1f\x8b" {
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return nil, fmt.Errorf("%w; it is not compressed by gzip", ErrNone)
	}
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	in := tar.NewReader(io.LimitReader(unpacked, longest))
	b := &Backup{Content: map[string][]byte{}}
	for first := true; ; first = false {
		head, err := in.Next()
		switch {
		case first && errors.Is(err, tar.ErrHeader):
			return nil, fmt.Errorf("%w; it holds no tar", ErrNone)
		case first && errors.Is(err, io.EOF):
			return nil, fmt.Errorf("%w; it holds no files", ErrNone)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		var data []byte
		if err == nil {
			data, err = io.ReadAll(in)
		}
		if err == nil && first {
			if head.Name != "manifest.json" {
				return nil, fmt.Errorf("%w; its first file is %.80q, not manifest.json", ErrNone, head.Name)
			}
			err = json.Unmarshal(data, &b.Manifest)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if !first {
			b.Content[head.Name] = data
		}
	}
	// The checksum at the end of the compressed bytes is looked at only there.
	if _, err := io.Copy(io.Discard, unpacked); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if b.Format != Format {
		return nil, fmt.Errorf("%w: its format is %d, this version of pgfleet reads %d", ErrDamaged, b.Format, Format)
	}
	if err := b.whole(); err != nil {
		return nil, err
	}
	return b, b.check()
}

// whole compares content and manifest.
func (b *Backup) whole() error {
	if len(b.Files) != len(b.Content) {
		return fmt.Errorf("%w: it holds %d files, its manifest names %d", ErrDamaged, len(b.Content), len(b.Files))
	}
	for _, f := range b.Files {
		data, ok := b.Content[f.Path]
		if sum := sha256.Sum256(data); !ok || len(data) != f.Size || hex.EncodeToString(sum[:]) != f.SHA256 {
			return fmt.Errorf("%w: %s is not as it was", ErrDamaged, f.Path)
		}
	}
	return nil
}
