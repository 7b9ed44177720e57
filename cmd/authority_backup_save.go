package cmd

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pgfleet/pgfleet/tasks/backup"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// sealedToItself refuses a backup whose key is encrypted to the authority's own certificate: what opens it would be lost together with the authority.
func sealedToItself(b *backup.Backup, recipient []byte) error {
	certs, err := pki.ParseCertificates(recipient)
	if b.Sealed != "cms" || err != nil {
		return nil
	}
	own, err := b.Certificate()
	if err != nil {
		return err
	}
	if pki.SameKey(own.PublicKey, certs[0].PublicKey) {
		return errors.New("the recipient is the authority's own certificate: its key would be needed to open the copy of its key")
	}
	return nil
}

// saveBackup writes a file that is there as a whole or not at all, and gives its path.
func saveBackup(folder string, b *backup.Backup) (string, error) {
	path := filepath.Join(folder, fmt.Sprintf("%s-%s.tar.gz", b.Authority, b.Made.UTC().Format(backupTime)))
	if _, err := os.Lstat(path); err == nil {
		return "", fmt.Errorf("%s is there already", path)
	}
	f, err := os.CreateTemp(folder, "."+b.Authority+"-*") // mode 0600
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	err = backup.Write(f, b)
	if err == nil {
		err = f.Sync()
	}
	if err = cmp.Or(err, f.Close()); err != nil {
		return "", err
	}
	return path, os.Rename(f.Name(), path)
}

// backupTime is the time in a backup's name.
const backupTime = "20060102T150405Z"
