package transport

import "time"

// Target is everything that is needed to reach one host: plain data, filled by inventory from its own
// settings and the user's ssh_config.
type Target struct {
	// Name is the inventory's; host keys are looked up under HostKeyAlias, else Address (and Port when not 22).
	Name, Address, HostKeyAlias string
	// Port: 0 means 22.
	Port int
	// User logs in.
	User string
	// Become: the shell runs as root through sudo; false: everything runs as User.
	Become bool
	// Program is the one program that this host lets us run, an absolute path without blanks; "" means a shell. With it Conn.Do takes no step but Argv of
	// that one word, with Stdin; Become runs it through sudo.
	Program string
	// IdentityFiles are private key files on the controller, in the order in which they are tried. CertificateFiles are
	// OpenSSH certificates that belong to them (besides <identity>-cert.pub, which is found by itself).
	IdentityFiles, CertificateFiles []string
	// IdentitiesOnly: agent keys are offered only when they are among IdentityFiles.
	IdentitiesOnly bool
	// IdentityAgent: the agent's socket; "" means $SSH_AUTH_SOCK, "none" no agent.
	IdentityAgent string
	// KnownHosts are files read for host keys; none means ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts.
	KnownHosts []string
	// Jumps are the bastions to pass, the first one dialled directly.
	Jumps []Target
	// ConnectTimeout: limit for dial plus handshake plus login; 0 means 15 s.
	ConnectTimeout time.Duration
	// KeepAlive: time between keepalive requests; 0 means 15 s. Three without an answer end the connection.
	KeepAlive time.Duration
}

// Patience is the limit for dial plus handshake plus login: ConnectTimeout or what it is without one.
func (t Target) Patience() time.Duration {
	if t.ConnectTimeout > 0 {
		return t.ConnectTimeout
	}
	return 15 * time.Second
}
