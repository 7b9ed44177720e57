// Package shell speaks with the shell program that runs steps on a host: it frames steps, parses what comes back and turns it into
// results. It knows nothing of how the bytes travel; transport/ssh and the sandbox of transport/transporttest both use it.
//
// On the host a single /bin/sh reads frames from standard input (programs/loop.sh is the protocol's description). Every frame is
// complete before its step runs, and what follows a failed step that is no probe is skipped there, so that a lost connection can
// neither run half a step nor step over a failure. A random nonce, known only to the two ends, separates what the protocol
// prints from what steps, start-up files and left-over processes print.
//
// Steps of the connection's own user that follow each other share a limiter and are copies (forks) of one shell, programs/many.sh: group.go says which.
//
// A step begins in /, with umask 022, LC_ALL=C, HOME, USER and LOGNAME of who acts. A process that a step leaves behind must have
// its output redirected; it ends when a limit ends a step that shares one with its own.
package shell

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed programs/loop.sh
var loopSource string

var loopProgram = stripped(loopSource)

//go:embed programs/read.sh
var readSource string

var readProgram = stripped(readSource)

//go:embed programs/write.sh
var writeSource string

var writeProgram = stripped(writeSource)

// Bootstrap is the command that a connection executes, as root where it may: short, constant, free of anything that a login
// shell (csh and fish too) would touch inside single quotes. It reads one line and runs it.
const Bootstrap = `/bin/sh -c 'IFS= read -r p && eval "$p"'`

// firstLine is what Bootstrap runs: it reads a program of size bytes, up to its last line "# <token>", and runs it with both outputs behind pipes
// of their own. Steps of other users must not hold the connection's own descriptors: sshd gives sockets, which can be read back.
// A head that reads ahead does no harm: nothing is sent before what came before has been answered.
func firstLine(nonce, token string, size int) string {
	return fmt.Sprintf(`nonce=%s; token=%s; getter=head; get() { if [ $getter = head ]; then exec head -c "$1"; else exec dd bs=1 count="$1"; fi 2>/dev/null; }; `+
		`p=$(get %[3]d); [ -n "$p" ] || { getter=byte; p=$(get %[3]d); }; `+
		`case $p in *"# $token") { { eval "$p"; } 2>&1 1>&3 3>&- | cat >&2 3>&-; } 3>&1 | cat; esac`, nonce, token, size) + "\n"
}

// stripped is a program without comment lines, blank lines and indentation.
func stripped(source string) string {
	var b strings.Builder
	for line := range strings.Lines(source) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// serving is the line of the program from which it waits for batches.
const serving = "while IFS= read -r size; do\n"

// preamble is everything that goes to Bootstrap at first: the program, in it the lines of the batch that goes ahead, which run when all else is made ready.
func preamble(nonce, token string, ahead []byte) []byte {
	ready, serve, _ := strings.Cut(loopProgram, serving)
	program := ready + string(ahead) + serving + serve + "# " + token + "\n"
	return []byte(firstLine(nonce, token, len(program)) + program)
}
