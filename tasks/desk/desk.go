// Package desk keeps what is exchanged with an authority that pgfleet cannot have sign, because it is offline or somebody else's: requests that wait, and what came back.
// It is a folder of plain files beside the inventory, made to be kept in version control with it: it holds no secret, and whoever has it can go on. It knows files and
// certificates, no host and no inventory.
//
//	ca.crt             the authority's own certificate (of an authority that is offline; that of an external one is a file of the user's)
//	ca.crl             the newest list of revoked certificates, of it and, if they came, of those above it
//	requests/*.csr     what waits to be signed: what is wanted, as text, then the request
//	issued/*.crt       what was signed: the same text, then the certificate
//	revoked/SERIAL     what shall be revoked: SERIAL, time, reason, end of the certificate
//	list-wanted        why a list is needed, when there is none
package desk

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// maxFile is the size above which no file of a desk is read.
const maxFile = 4 << 20

// Desk is the folder of one authority. Nothing has to exist.
type Desk struct{ Dir string }

// Certificate gives the authority's own certificate, nil when it has not come.
func (d Desk) Certificate() (*x509.Certificate, error) {
	data, err := d.read("ca.crt")
	if data == nil || err != nil {
		return nil, err
	}
	certs, err := pki.ParseCertificates(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.path("ca.crt"), err)
	}
	if len(certs) > 1 {
		return nil, fmt.Errorf("%s: holds %d certificates: leave that of the authority (two may have been merged)", d.path("ca.crt"), len(certs))
	}
	return certs[0], nil
}

// PutCertificate stores it.
func (d Desk) PutCertificate(cert *x509.Certificate) error {
	return d.write("ca.crt", pki.CertificatePEM(cert))
}

// Lists gives the lists of revoked certificates, at most one an issuer.
func (d Desk) Lists() ([]*x509.RevocationList, error) {
	data, err := d.read("ca.crl")
	if data == nil || err != nil {
		return nil, err
	}
	lists, err := pki.ParseCRLs(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.path("ca.crl"), err)
	}
	return lists, nil
}

// PutList stores a list in the place of the one that the same issuer had, and forgets that one was wanted.
func (d Desk) PutList(list *x509.RevocationList) error {
	before, err := d.Lists()
	if err != nil {
		return err
	}
	lists := []*x509.RevocationList{list}
	for _, l := range before {
		if !bytes.Equal(l.RawIssuer, list.RawIssuer) || !bytes.Equal(l.AuthorityKeyId, list.AuthorityKeyId) {
			lists = append(lists, l)
		}
	}
	if err := d.write("ca.crl", pki.CRLPEM(lists...)); err != nil {
		return err
	}
	if err := os.Remove(d.path("list-wanted")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// WantList notes that somebody needs a list, and why. It is noted once.
func (d Desk) WantList(why string) error {
	if is, err := d.read("list-wanted"); err != nil || strings.TrimSpace(string(is)) == why {
		return err
	}
	return d.write("list-wanted", []byte(why+"\n"))
}

// ListWanted gives what WantList noted, "" when nothing was.
func (d Desk) ListWanted() (string, error) {
	data, err := d.read("list-wanted")
	return strings.TrimSpace(string(data)), err
}

func (d Desk) path(name string) string { return filepath.Join(d.Dir, filepath.FromSlash(name)) }

// read gives a file's bytes, nil when it is not there.
func (d Desk) read(name string) ([]byte, error) {
	info, err := os.Stat(d.path(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: is no file", d.path(name))
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%s: is larger than %d MiB", d.path(name), maxFile>>20)
	}
	return os.ReadFile(d.path(name))
}

// write puts a whole file in place with one rename, on the disk.
func (d Desk) write(name string, data []byte) error {
	if d.Dir == "" {
		return errors.New("there is no folder for what is exchanged with this authority")
	}
	file := d.path(name)
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return os.Rename(f.Name(), file)
}

// names lists the files of a subfolder that end in ext and have part in their names, sorted.
func (d Desk) names(folder, part, ext string) ([]string, error) {
	entries, err := os.ReadDir(d.path(folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if n := e.Name(); !strings.HasPrefix(n, ".") && strings.HasSuffix(n, ext) && strings.Contains(n, part) {
			out = append(out, folder+"/"+n)
		}
	}
	sort.Strings(out)
	return out, nil
}
