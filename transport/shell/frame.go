package shell

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

// MaxRead is the size in bytes up to which a Read step takes a file.
const MaxRead = 64 << 20

// maxWord is the longest argument in bytes that Linux passes on (MAX_ARG_STRLEN, execve(2)).
const maxWord = 128<<10 - 1

// longWord is the length in bytes from which a word is sent to a host once a connection and then named.
const longWord = 200

// quote makes text one word for a shell, whatever is in it. Nothing else makes shell text from data.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// appendFeed appends a step's standard input. A shell's words hold no zero byte: printf's %b makes it.
func appendFeed(b []byte, stdin []byte) []byte {
	switch {
	case len(stdin) == 0:
		return b
	case bytes.IndexByte(stdin, 0) < 0:
		return fmt.Appendf(b, "feed %%s %s\n", quote(string(stdin)))
	}
	text := strings.ReplaceAll(strings.ReplaceAll(string(stdin), `\`, `\\`), "\x00", `\0000`)
	return fmt.Appendf(b, "feed %%b %s\n", quote(text))
}

// words of a session that its host has been sent: their numbers.
type sent map[string]int

// appendWord appends a word of a step, and to head what the host has to be told first.
func (s sent) appendWord(head, b []byte, word string) (newHead, newB []byte) {
	if len(word) < longWord {
		return head, append(append(b, ' '), quote(word)...)
	}
	n, ok := s[word]
	if !ok {
		n = len(s)
		s[word] = n
		head = fmt.Appendf(head, "p%d=%s\n", n, quote(word))
	}
	return head, fmt.Appendf(b, ` "$p%d"`, n)
}

// appendStep appends one step, which Check has found well formed.
func (s sent) appendStep(head, b []byte, id int, step transport.Step) (newHead, newB []byte) {
	user := "-"
	if step.User != "" {
		user = step.User
	}
	b = appendFeed(b, step.Stdin)
	b = fmt.Appendf(b, "step %d %d %d %s", id, probeOf(step), Seconds(step.Limit), quote(user))
	for _, w := range wordsOf(step) {
		head, b = s.appendWord(head, b, w)
	}
	return head, append(b, '\n')
}

func probeOf(s transport.Step) int {
	if s.Probe {
		return 1
	}
	return 0
}

func wordsOf(s transport.Step) []string {
	switch {
	case s.Read != "":
		return []string{"/bin/sh", "-c", readProgram, "sh", s.Read, strconv.Itoa(MaxRead)}
	case s.Write != nil:
		m := s.Write
		return []string{"/bin/sh", "-c", writeProgram, "sh", m.Path, m.Owner, m.Group, strconv.FormatUint(uint64(Mode(m)), 8), TempName()}
	case s.Shell != "":
		return append([]string{"/bin/sh", "-c", s.Shell, "sh"}, s.Argv...)
	}
	return s.Argv
}

// Mode gives the permission bits of a file to be written, 0600 when none are set.
func Mode(m *transport.FileMeta) uint32 {
	if m.Mode == 0 {
		return 0o600
	}
	return uint32(m.Mode.Perm())
}

// TempName gives an unpredictable name for a file that will replace another one in the same folder.
func TempName() string {
	return ".pgfleet-" + rand.Text()
}

// Seconds gives a step's limit as whole seconds, rounded up; 0 means transport.DefaultLimit.
func Seconds(limit time.Duration) int {
	if limit <= 0 {
		limit = transport.DefaultLimit
	}
	return int(min(math.Ceil(limit.Seconds()), 1e9))
}

// Check says what is wrong with steps, before anything is sent.
func Check(steps []transport.Step) error {
	for i, s := range steps {
		if err := check(s); err != nil {
			return fmt.Errorf("step %d (%s): %w", i+1, s.Name(), err)
		}
	}
	return nil
}

// checkAhead says what is wrong with steps that go with the program.
func checkAhead(steps []transport.Step) error {
	for i, s := range steps {
		if !s.Probe || s.Write != nil {
			return fmt.Errorf("step %d (%s): only what changes nothing goes ahead", i+1, s.Name())
		}
	}
	return Check(steps)
}

func check(s transport.Step) error {
	switch {
	case s.Read != "" && (s.Write != nil || s.Shell != "" || len(s.Argv) > 0):
		return fmt.Errorf("a Read has neither Argv, Shell nor Write")
	case s.Write != nil && (s.Shell != "" || len(s.Argv) > 0):
		return fmt.Errorf("a Write has neither Argv nor Shell")
	case s.Read == "" && s.Write == nil && s.Shell == "" && (len(s.Argv) == 0 || s.Argv[0] == ""):
		return fmt.Errorf("nothing to do: no Argv, Shell, Read or Write")
	case s.Read != "" && !absolute(s.Read):
		return fmt.Errorf("path %q is not absolute and clean", s.Read)
	case s.Write != nil && (!absolute(s.Write.Path) || s.Write.Path == "/"):
		return fmt.Errorf("path %q is not absolute and clean", s.Write.Path)
	case s.Write != nil && (!name(s.Write.Owner) || !name(s.Write.Group)):
		return fmt.Errorf("owner %q or group %q cannot be a name", s.Write.Owner, s.Write.Group)
	case !name(s.User):
		return fmt.Errorf("user %q cannot be a name", s.User)
	}
	for i, w := range wordsOf(s) {
		if strings.IndexByte(w, 0) >= 0 {
			return fmt.Errorf("word %d has a zero byte", i+1)
		}
		if len(w) > maxWord {
			return fmt.Errorf("word %d has %d bytes, at most %d can be passed on: use Stdin", i+1, len(w), maxWord)
		}
	}
	return nil
}

func absolute(p string) bool { return path.IsAbs(p) && path.Clean(p) == p }

// name says whether text can be the name or number of a user or group: nothing that a command would take for an option.
func name(text string) bool {
	if strings.HasPrefix(text, "-") {
		return false
	}
	for _, r := range text {
		if r <= ' ' || r == ':' || r == '/' || r == 0x7f {
			return false
		}
	}
	return true
}
