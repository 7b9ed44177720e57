// Package transporttest holds what tests need in place of a fleet: a sandbox, the fake host that is a real one in all but SSH (namespaces of this
// machine, its own files and users), connections that break on purpose, and the suite that every transport.Conn must pass: the sandbox's,
// one to an in-process SSH server, one to a real sshd.
package transporttest
