package lab

import (
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Root is where state folders are, one a lab, unless Options.Folder says otherwise.
const Root = "/var/lib/pgfleet-lab"

// Domain is the hosts' domain: db1.example.net.
const Domain = "example.net"

// AdminUser can log in on every host with the lab's key; OpsPassword is its password where sudo asks for one.
const (
	AdminUser   = "ops"
	OpsPassword = "ops-lab-password"
)

// Options say what a lab looks like.
type Options struct {
	// Name tells labs on one machine apart: a-z, 0-9 and '-', at most 32; "" means lab1.
	Name string
	// Folder for state, absolute; "" means Root/<name>. It must not exist or be empty.
	Folder string
	// DB and Client are the numbers of database servers and clients, 0 to 400 each. Three hosts for authorities are always there.
	DB, Client int
	// Standby is how many of the database servers, the last ones, are standbys of the first, streaming as user replicator, by password: fewer than DB.
	Standby int
	// Variants: what differs from a host with passwordless sudo. A later one wins.
	Variants []Variant
	// PostgreSQL gives database servers, by short name, another PostgreSQL than the machine's: a folder with bin, lib and share, absolute. On that
	// host it is /usr/lib/postgresql/VERSION, read-only, and its cluster is VERSION/main. psql is expected in bin too.
	PostgreSQL map[string]string
	// RTT is the round-trip time of SSH connections; 0 means what the machine gives.
	RTT time.Duration
	// Resolve puts all hosts into each /etc/hosts; without it a host knows only itself.
	Resolve bool
	// LogSessions makes every sshd log the sessions of a connection too (LogLevel VERBOSE), in /var/log/auth.log.
	LogSessions bool
	// Mask are further folders of the machine that hosts must not see, absolute.
	Mask []string
	// Tied ends the lab, and removes its files, when the calling process ends.
	Tied bool
	// Log gets one line a step; nil: none.
	Log io.Writer
}

// Access is how a host's administrator gets root.
type Access string

// The kinds of Access.
const (
	// Sudo: user ops, sudo asks for no password.
	Sudo Access = "sudo"
	// SudoPassword: user ops, sudo asks for OpsPassword.
	SudoPassword Access = "sudo-password"
	// RootLogin: root logs in with the key.
	RootLogin Access = "root"
	// NoSudo: user ops may not use sudo.
	NoSudo Access = "no-sudo"
)

// Variant gives some hosts another access. Hosts is a role prefix (ca, db, app), a host's short name, or "" for all.
type Variant struct {
	Hosts  string
	Access Access
}

// ParseVariant reads "ACCESS" or "HOSTS=ACCESS", such as "ca=no-sudo".
func ParseVariant(text string) (Variant, error) {
	v := Variant{Access: Access(text)}
	if hosts, access, found := strings.Cut(text, "="); found {
		v = Variant{Hosts: hosts, Access: Access(access)}
	}
	switch v.Access {
	case Sudo, SudoPassword, RootLogin, NoSudo:
		return v, nil
	}
	return Variant{}, fmt.Errorf("variant %q: use %s, %s, %s or %s, for some hosts as HOSTS=… (ca, db, app, or one host)", text, Sudo, SudoPassword, RootLogin, NoSudo)
}

var (
	labName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	// Characters that overlayfs's mount options, ssh_config and YAML take literally.
	plainPath = regexp.MustCompile(`^/[A-Za-z0-9/_.+@-]*$`)
)

// FolderOf is the state folder of a lab by name ("" means lab1), or folder where given.
func FolderOf(name, folder string) (string, error) {
	if name == "" {
		name = "lab1"
	}
	if !labName.MatchString(name) {
		return "", fmt.Errorf("lab name %q: use a-z, 0-9 and '-', a letter first, at most 32", name)
	}
	if folder == "" {
		return filepath.Join(Root, name), nil
	}
	if !plainPath.MatchString(folder) || filepath.Clean(folder) == "/" {
		return "", fmt.Errorf("state folder %q: use an absolute path of letters, digits and /_.+@-", folder)
	}
	return filepath.Clean(folder), nil
}

func (o Options) filled() (Options, error) {
	folder, err := FolderOf(o.Name, o.Folder)
	if err != nil {
		return o, err
	}
	o.Folder = folder
	if o.Name == "" {
		o.Name = "lab1"
	}
	if o.DB < 0 || o.Client < 0 || o.DB > 400 || o.Client > 400 {
		return o, fmt.Errorf("%d database servers, %d clients: use 0 to 400 of each", o.DB, o.Client)
	}
	if o.Standby < 0 || o.Standby > 0 && o.Standby >= o.DB {
		return o, fmt.Errorf("%d standbys among %d database servers: use fewer, the first is their primary", o.Standby, o.DB)
	}
	if o.RTT < 0 || o.RTT > 10*time.Second {
		return o, fmt.Errorf("round-trip time %s: use 0 to 10s", o.RTT)
	}
	for _, m := range o.Mask {
		if !filepath.IsAbs(m) || filepath.Clean(m) == "/" {
			return o, fmt.Errorf("mask %q: use an absolute path below /", m)
		}
	}
	for host, folder := range o.PostgreSQL {
		if !filepath.IsAbs(folder) {
			return o, fmt.Errorf("PostgreSQL of %s in %q: use an absolute path", host, folder)
		}
	}
	return o, nil
}
