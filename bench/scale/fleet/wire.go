package fleet

import (
	"bufio"
	"errors"
	"fmt"
	"io"
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
	case strings.HasPrefix(first, "p=; "):
		err = h.framed(in, ch, ch.Stderr())
	case strings.HasPrefix(first, "IFS= read -r n; IFS= read -r u; "):
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

// framed is transport/shell/programs/loop.sh.
func (h *Host) framed(in *bufio.Reader, out, errs io.Writer) error {
	version := false
	for {
		l, err := line(in)
		if err != nil {
			return err
		}
		version = version || strings.HasPrefix(l, `say "H 1 $uid `)
		if l == "#END" {
			break
		}
	}
	if !version {
		return errors.New("the loop's protocol is not version 1")
	}
	nonce, err := line(in)
	if err != nil {
		return err
	}
	if _, err := line(in); err != nil { // a token for file names
		return err
	}
	for range 2 { // read.sh and write.sh
		if _, err := word(in); err != nil {
			return err
		}
	}
	say := func(text string) error {
		_, err := fmt.Fprintf(out, "\n%s %s\n", nonce, text)
		_, err2 := fmt.Fprintf(errs, "\n%s %s\n", nonce, text)
		return errors.Join(err, err2)
	}
	if err := say("H 1 0 head timeout setpriv /usr/lib/openssh/sftp-server root"); err != nil {
		return err
	}
	return h.steps(in, out, errs, nonce, say)
}

// word reads lines "+text" up to and with ".text".
func word(in *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		l, err := line(in)
		switch {
		case err != nil:
			return "", err
		case strings.HasPrefix(l, "."):
			b.WriteString(l[1:])
			return b.String(), nil
		case strings.HasPrefix(l, "+"):
			b.WriteString(l[1:])
			b.WriteByte('\n')
		default:
			return "", fmt.Errorf("bad word: %.40q", l)
		}
	}
}

func (h *Host) steps(in *bufio.Reader, out, errs io.Writer, nonce string, say func(string) error) error {
	stopped, paused := false, false
	for {
		l, err := line(in)
		if err != nil {
			return err
		}
		if id, ok := strings.CutPrefix(l, "D "); ok {
			stopped, paused = false, false
			h.fleet.counters.add(func(c *Counts) { c.Batches++ })
			if err := say("D " + id); err != nil {
				return err
			}
			continue
		}
		s, err := readStep(in, l)
		if err != nil {
			return err
		}
		if stopped {
			continue
		}
		if !paused {
			paused = true
			h.pause()
		}
		r := h.do(s)
		h.fleet.counters.add(func(c *Counts) { c.Steps++ })
		_, err = fmt.Fprintf(out, "\n%s B %d\n%s\n%s E %d %d\n", nonce, s.id, r.out, nonce, s.id, r.code)
		_, err2 := fmt.Fprintf(errs, "\n%s B %d\n%s\n%s E %d %d\n", nonce, s.id, r.err, nonce, s.id, r.code)
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		stopped = r.code != 0 && !s.probe
	}
}

func readStep(in *bufio.Reader, l string) (*step, error) {
	f := strings.Fields(l)
	if len(f) != 8 || f[0] != "S" {
		return nil, fmt.Errorf("bad line: %.60q", l)
	}
	id, err1 := strconv.Atoi(f[1])
	words, err2 := strconv.Atoi(f[5])
	size, err3 := strconv.Atoi(f[6])
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	s := &step{id: id, probe: f[2] == "1", kind: f[4][0], user: f[7], stdin: make([]byte, size)}
	for range words {
		w, err := word(in)
		if err != nil {
			return nil, err
		}
		s.words = append(s.words, w)
	}
	if _, err := io.ReadFull(in, s.stdin); err != nil {
		return nil, err
	}
	if end, err := line(in); err != nil || end != "." {
		return nil, fmt.Errorf("bad frame: %q %w", end, err)
	}
	return s, nil
}
