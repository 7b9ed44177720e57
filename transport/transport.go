// Package transport says what a connection to one host can do and how it fails.
//
// Nothing here knows about certificates or PostgreSQL. Implementations: transport/ssh (the real one) and
// transport/transporttest (a host without SSH, for tests); both pass the suite there.
package transport

import (
	"context"
	"io/fs"
	"net"
	"time"
)

// Conn is one host, connected. It is safe for use by several goroutines; their round trips queue.
type Conn interface {
	// Do runs steps in order in one round trip and returns one Result for each step that ran. A failed step that
	// is no probe stops the list: the results then end with it. The error is the connection's (it wraps one
	// of the sentinels of this package), never a step's; with an error nothing may be concluded about the
	// steps without a Result: they may or may not have run.
	Do(ctx context.Context, steps ...Step) ([]Result, error)
	// Dial opens a network connection as seen from that host ("tcp", "127.0.0.1:5432").
	// ErrForwarding when the host forbids it.
	Dial(ctx context.Context, network, addr string) (net.Conn, error)
	// Close ends the connection. A step that runs at that moment goes on until it ends by itself or its limit is over: hosts
	// are not told (sshd(8) sends no signal). It may be called twice.
	Close() error
}

// Step is one thing done on a host: exactly one of Argv alone, Shell, Read, Write.
type Step struct {
	// Key names the result, and for a probe what it saw: tasks find it in their view under this key.
	Key string
	// Argv is a command and its arguments as words (no shell sees them); with Shell they are its $1, $2, ….
	Argv []string
	// Shell is a constant POSIX sh program of ours. Values never go into its text, only into Argv or Stdin.
	Shell string
	// Read is an absolute path; the Result's Stdout is the file's bytes and File its metadata.
	// A file that is not there gives ErrNotExist in Result.Err, a probe like any other.
	Read string
	// Write replaces a file atomically with Stdin; owner and mode are set before the first byte is written.
	Write *FileMeta
	// Stdin is what the command reads, or the bytes to be written. Secret bytes travel only here. It comes through a pipe, which a command of another
	// user than the connection's reads but cannot open by name (/dev/stdin).
	Stdin []byte
	// User is the OS user who acts; "" is root (or the login user where the host's become is off).
	User string
	// Limit ends the step, on the host too; 0 means 60 s. Probes, programs and reads of the connection's own user that follow each other in one Do
	// may share it: one of them can then take, besides its own, the time that those beside it have. None has less than its own, and a command that is no
	// probe (Argv alone) has its own to itself.
	Limit time.Duration
	// Probe marks a step that changes nothing. Its failure does not stop the list.
	Probe bool
	// Files: files of the same User are going to be written by a later call, so that what carries them can be made ready meanwhile.
	Files bool
}

// DefaultLimit is the limit of a Step whose Limit is 0.
const DefaultLimit = 60 * time.Second

// FileMeta says where and as what a file is written.
type FileMeta struct {
	// Path is absolute. Its folder must exist.
	Path string
	// Owner and Group are names or decimal ids; "" keeps the acting user's (Step.User, else root).
	Owner, Group string
	// Mode: permission bits, for example 0o600. 0 means 0600.
	Mode fs.FileMode
}

// Result is what one Step gave.
type Result struct {
	// Key of the Step.
	Key string
	// Code is the exit code; 124 or 137 when the limit ended it. 0 for Read and Write that worked.
	Code int
	// Stdout and Stderr are complete; Stdout holds the bytes of a Read.
	Stdout, Stderr []byte
	// File is set by a Read that found the file.
	File *FileInfo
	// Err is nil when the step worked; otherwise an *ExitError, or an error that wraps ErrNotExist, ErrLimit,
	// fs.ErrPermission.
	Err error
	// Took is the time on the host as far as it can be seen from here.
	Took time.Duration
}

// FileInfo is what a Read learned about the file besides its bytes.
type FileInfo struct {
	Owner, Group string
	Mode         fs.FileMode
	ModTime      time.Time
}

// Stats counts what a connection cost. Implementations that count offer it as interface{ Stats() Stats }.
type Stats struct {
	// Connections: TCP connections made, 1 unless it was lost. RoundTrips: Do calls that went over the wire.
	Connections, RoundTrips int
	// FileBatches: groups of files written in parallel over SFTP inside those round trips; Files: files written.
	FileBatches, Files int
	// Handshake: dial, key exchange and login. Busy: time inside Do.
	Handshake, Busy time.Duration
}
