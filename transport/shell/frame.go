package shell

import (
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

// appendWord appends one word: ".last line" or "+line" for each that is followed by another.
func appendWord(b []byte, word string) []byte {
	for {
		line, rest, more := strings.Cut(word, "\n")
		if !more {
			b = append(b, '.')
			b = append(b, line...)
			return append(b, '\n')
		}
		b = append(b, '+')
		b = append(b, line...)
		b = append(b, '\n')
		word = rest
	}
}

// appendStep appends the frame of one step, which Check has found well formed.
func appendStep(b []byte, id int, s transport.Step) []byte {
	kind, words := wordsOf(s)
	probe, user := "0", "-"
	if s.Probe {
		probe = "1"
	}
	if s.User != "" {
		user = s.User
	}
	b = fmt.Appendf(b, "S %d %s %d %s %d %d %s\n", id, probe, Seconds(s.Limit), kind, len(words), len(s.Stdin), user)
	for _, w := range words {
		b = appendWord(b, w)
	}
	b = append(b, s.Stdin...)
	return append(b, ".\n"...)
}

func wordsOf(s transport.Step) (kind string, words []string) {
	switch {
	case s.Read != "":
		return "r", []string{s.Read, strconv.Itoa(MaxRead)}
	case s.Write != nil:
		m := s.Write
		return "w", []string{m.Path, m.Owner, m.Group, strconv.FormatUint(uint64(Mode(m)), 8), TempName()}
	case s.Shell != "":
		return "c", append([]string{"/bin/sh", "-c", s.Shell, "sh"}, s.Argv...)
	}
	return "c", s.Argv
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
	_, words := wordsOf(s)
	for i, w := range words {
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
