package lab

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// entryText is an entry as it travels in a boot order.
type entryText struct {
	Path, Text string
	Mode       os.FileMode
}

// settle writes what only this host has, once.
func settle(order bootOrder, r *reaper) error {
	h := order.Host
	entries := []entry{
		{"/etc/hostname", 0o644, 0, 0, h.Short + "\n"},
		{"/etc/hosts", 0o644, 0, 0, hostsFile(order.State, h)},
		{"/etc/machine-id", 0o444, 0, 0, machineID()},
	}
	if rule := sudoRule(h.Access); rule != "" {
		entries = append(entries, entry{"/etc/sudoers.d/" + AdminUser, 0o440, 0, 0, rule})
	}
	if order.State.LogSessions {
		entries = append(entries, entry{"/etc/ssh/sshd_config.d/log.conf", 0o644, 0, 0, "LogLevel VERBOSE\n"})
	}
	for _, f := range order.Files {
		if dir := filepath.Dir(f.Path); dir == "/root/.ssh" {
			entries = append(entries, entry{dir, os.ModeDir | 0o700, 0, 0, ""})
		}
		entries = append(entries, entry{f.Path, f.Mode, 0, 0, f.Text})
	}
	if err := writeAll("/", entries); err != nil {
		return err
	}
	if h.Access == SudoPassword {
		if err := setPassword(r); err != nil {
			return err
		}
	}
	if err := makeSnakeoil(h); err != nil {
		return err
	}
	switch {
	case h.Role != DBServer:
		return nil
	case h.Installation != "":
		return newCluster(h, r)
	}
	return renameCluster(order, r)
}

func machineID() string {
	id := make([]byte, 16)
	rand.Read(id)
	return hex.EncodeToString(id) + "\n"
}

func setPassword(r *reaper) error {
	in, out, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("set password: %w", err)
	}
	defer in.Close()
	fmt.Fprintf(out, "%s:%s\n", AdminUser, OpsPassword)
	out.Close()
	_, status, err := r.start([]string{"/usr/sbin/chpasswd"}, []uintptr{in.Fd(), 1, 2})
	if err != nil {
		return err
	}
	if s := <-status; exitCode(s) != 0 {
		return fmt.Errorf("set password: chpasswd: exit code %d", exitCode(s))
	}
	return nil
}

// makeSnakeoil gives the host the self-signed certificate of Debian's package ssl-cert, which a fresh PostgreSQL uses.
func makeSnakeoil(h Host) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("make snakeoil key: %w", err)
	}
	now := time.Now()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return fmt.Errorf("make snakeoil serial: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: h.Name}, DNSNames: []string{h.Name},
		NotBefore: now, NotAfter: now.AddDate(10, 0, 0), BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("make snakeoil certificate: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode snakeoil key: %w", err)
	}
	a, err := readAccounts("/")
	if err != nil {
		return err
	}
	group, err := a.group("ssl-cert")
	if err != nil {
		return err
	}
	return writeAll("/", []entry{
		{"/etc/ssl/certs/ssl-cert-snakeoil.pem", 0o644, 0, 0, encodePEM("CERTIFICATE", certificate)},
		{"/etc/ssl/private/ssl-cert-snakeoil.key", 0o640, 0, group, encodePEM("PRIVATE KEY", der)},
	})
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// renameCluster gives the host's copy of the fresh cluster a system identifier of its own, as initdb would have: the
// first 8 bytes of pg_control. pg_resetwal then writes its checksum and a first WAL file that agree.
func renameCluster(order bootOrder, r *reaper) error {
	data := filepath.Join("/var/lib/postgresql", order.Host.Version, "main")
	f, err := os.OpenFile(filepath.Join(data, "global/pg_control"), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("open pg_control: %w", err)
	}
	defer f.Close()
	if _, err := f.WriteAt(binary.NativeEndian.AppendUint64(nil, order.Cluster), 0); err != nil {
		return fmt.Errorf("write pg_control: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write pg_control: %w", err)
	}
	return r.run("/usr/bin/setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--",
		"/usr/lib/postgresql/"+order.Host.Version+"/bin/pg_resetwal", "-f", "-D", data)
}
