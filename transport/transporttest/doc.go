// Package transporttest holds what tests need in place of a fleet: a sandbox that is a real host in namespaces of this machine, a
// scripted fake, connections that break on purpose, and the suite that every transport.Conn must pass.
package transporttest
