package fleet

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
)

// bootstrap is what shell.Bootstrap starts: its first line says whether the framed shell or an sftp-server follows.
func (h *Host) bootstrap(ch ssh.Channel) {
	in := bufio.NewReaderSize(ch, 4096)
	first, err := line(in)
	switch {
	case err != nil:
	case strings.HasPrefix(first, "nonce="):
		err = h.framed(first, in, ch, ch.Stderr())
	case strings.HasPrefix(first, "IFS= read -r n; IFS= read -r u; IFS= read -r w; "):
		err = h.sftp(in, ch)
	default:
		err = fmt.Errorf("this start is not in the model: %.80q", first)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintf(ch.Stderr(), "simulated host: %v\n", err)
		h.fleet.counters.add(func(c *Counts) { c.Unknown++ })
	}
}

func line(in *bufio.Reader) (string, error) {
	text, err := in.ReadString('\n')
	return strings.TrimSuffix(text, "\n"), err
}

// opening takes what firstLine of transport/shell says.
var opening = regexp.MustCompile(`^nonce=([A-Z2-7]+); token=([A-Z2-7]+); .*; p=\$\(get ([0-9]+)\); `)

// framed is transport/shell/programs/loop.sh.
func (h *Host) framed(first string, in *bufio.Reader, out, errs io.Writer) error {
	m := opening.FindStringSubmatch(first)
	if m == nil {
		return fmt.Errorf("this start is not in the model: %.80q", first)
	}
	nonce, token := m[1], m[2]
	program, err := whole(in, m[3], token)
	if err != nil {
		return err
	}
	_, ahead, ok := strings.Cut(program, `say "H 1 $uid `)
	if !ok {
		return errors.New("the loop's protocol is not version 1")
	}
	_, ahead, _ = strings.Cut(ahead, "\n")
	ahead, _, _ = strings.Cut(ahead, "while IFS= read -r size; do\n")
	say := func(text string) error {
		_, err := fmt.Fprintf(out, "\n%s %s\n", nonce, text)
		_, err2 := fmt.Fprintf(errs, "\n%s %s\n", nonce, text)
		return errors.Join(err, err2)
	}
	if err := say("H 1 0 head timeout setpriv /usr/lib/openssh/sftp-server root"); err != nil {
		return err
	}
	known := map[string]string{}
	if err := h.batch(ahead, known, out, errs, nonce, say); err != nil {
		return err
	}
	for {
		size, err := line(in)
		if err != nil {
			return err
		}
		text, err := whole(in, size, token)
		if err != nil {
			return err
		}
		if err := h.batch(text, known, out, errs, nonce, say); err != nil {
			return err
		}
	}
}

// whole reads size bytes that end with the session's token.
func whole(in *bufio.Reader, size, token string) (string, error) {
	n, err := strconv.Atoi(size)
	if err != nil {
		return "", fmt.Errorf("bad line: %.60q", size)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(in, b); err != nil {
		return "", err
	}
	text, ok := strings.CutSuffix(string(b), "# "+token+"\n")
	if !ok {
		return "", errors.New("a block has another end")
	}
	return text, nil
}

// batch does what the lines of one batch say; known are the long words of the session.
func (h *Host) batch(text string, known map[string]string, out, errs io.Writer, nonce string, say func(string) error) error {
	stopped, paused := false, false
	var stdin []byte
	run := func(s *step) error {
		if stopped {
			return nil
		}
		if !paused {
			paused = true
			h.pause()
		}
		r := h.do(s)
		h.fleet.counters.add(func(c *Counts) { c.Steps++ })
		_, err := fmt.Fprintf(out, "\n%s B %d\n%s\n%s E %d %d\n", nonce, s.id, r.out, nonce, s.id, r.code)
		_, err2 := fmt.Fprintf(errs, "\n%s B %d\n%s\n%s E %d %d\n", nonce, s.id, r.err, nonce, s.id, r.code)
		stopped = r.code != 0 && !s.probe
		return errors.Join(err, err2)
	}
	for text != "" {
		var words []string
		var err error
		if words, text, err = command(text, known); err != nil {
			return err
		}
		switch words[0] {
		case "feed":
			if stdin, err = fed(words); err != nil {
				return err
			}
		case "step":
			s, err := readStep(words, stdin)
			if err != nil {
				return err
			}
			stdin = nil
			if err := run(s); err != nil {
				return err
			}
		case "group":
			steps, err := readGroup(words)
			if err != nil {
				return err
			}
			begun := !stopped
			for _, s := range steps {
				if err := run(s); err != nil {
					return err
				}
			}
			if begun && stopped {
				if err := say(fmt.Sprintf("X %s 1", words[1])); err != nil {
					return err
				}
			}
		case "finish":
			h.fleet.counters.add(func(c *Counts) { c.Batches++ })
			if err := say("D " + words[1]); err != nil {
				return err
			}
		case "":
		default:
			return fmt.Errorf("bad line: %.60q", words)
		}
	}
	return nil
}

// readGroup takes "group ID LIMIT PROGRAM LINES WORD…" apart, the lines as programs/many.sh says.
func readGroup(words []string) ([]*step, error) {
	if len(words) < 5 {
		return nil, fmt.Errorf("bad line: %.60q", words)
	}
	known := map[string]string{}
	for i, w := range words[4:] {
		known[fmt.Sprintf("{%d}", i+1)] = w
	}
	var steps []*step
	for text := words[4]; text != ""; {
		line, rest, err := command(text, known)
		if err != nil || len(line) < 5 {
			return nil, errors.Join(fmt.Errorf("bad line: %.60q", line), err)
		}
		text = rest
		id, err := strconv.Atoi(line[1])
		if err != nil {
			return nil, err
		}
		s := &step{id: id, probe: line[2] == "1", user: "-", words: line[4:]}
		if line[0] == "many_shell" {
			s.words = append([]string{"/bin/sh", "-c", line[4], "sh"}, line[5:]...)
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// command takes the first line of text apart as a shell would: words, '…', \' and "$pN" of known. An assignment pN=… goes to known; its words are "".
func command(text string, known map[string]string) (words []string, rest string, err error) {
	word := ""
	for {
		if text == "" {
			return nil, "", errors.New("a line without an end")
		}
		c := text[0]
		text = text[1:]
		switch c {
		case '\'':
			quoted, after, ok := strings.Cut(text, "'")
			if !ok {
				return nil, "", errors.New("a quote without an end")
			}
			word, text = word+quoted, after
		case '\\':
			word, text = word+text[:1], text[1:]
		case '"':
			name, after, _ := strings.Cut(strings.TrimPrefix(text, "$"), `"`)
			value, ok := known[name]
			if !ok {
				return nil, "", fmt.Errorf("no such word: %.20q", name)
			}
			word, text = word+value, after
		case ' ', '\n':
			words = append(words, word)
			word = ""
			if c == ' ' {
				continue
			}
			if name, value, ok := strings.Cut(words[0], "="); ok && len(words) == 1 && strings.HasPrefix(name, "p") {
				known[name] = value
				words = []string{""}
			}
			return words, text, nil
		default:
			word += string(c)
		}
	}
}

// fed gives the standard input that "feed" makes.
func fed(words []string) ([]byte, error) {
	switch {
	case len(words) == 3 && words[1] == "%s":
		return []byte(words[2]), nil
	case len(words) == 3 && words[1] == "%b":
		return []byte(strings.NewReplacer(`\\`, `\`, `\0000`, "\x00").Replace(words[2])), nil
	}
	return nil, fmt.Errorf("bad line: %.60q", words)
}

// readStep takes "step ID PROBE LIMIT USER WORD…".
func readStep(words []string, stdin []byte) (*step, error) {
	if len(words) < 6 {
		return nil, fmt.Errorf("bad line: %.60q", words)
	}
	id, err := strconv.Atoi(words[1])
	return &step{id: id, probe: words[2] == "1", user: words[4], words: words[5:], stdin: stdin}, err
}
