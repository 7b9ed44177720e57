package fleet

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// Packets of SFTP version 3 (draft-ietf-secsh-filexfer-02) that pgfleet's writes need, and OpenSSH's two extensions.
const (
	sftpInit, sftpVersion          = 1, 2
	sftpOpen, sftpClose, sftpWrite = 3, 4, 6
	sftpSetstat, sftpFsetstat      = 9, 10
	sftpRemove                     = 13
	sftpStatus, sftpHandle         = 101, 102
	sftpOK, sftpNoFile, sftpFailed = 0, 2, 4
)

// sftp is an sftp-server that acts as one user.
func (h *Host) sftp(in *bufio.Reader, out io.Writer) error {
	nonce, err := line(in)
	if err != nil {
		return err
	}
	name, err := line(in)
	if err != nil {
		return err
	}
	if _, err := line(in); err != nil { // what can act as that user
		return err
	}
	acts, ok := accounts[name]
	if name == "" {
		acts, ok = root, true
	}
	if !ok {
		return fmt.Errorf("an sftp-server of user %q is not in the model", name)
	}
	if _, err := fmt.Fprintf(out, "\n%s\n", nonce); err != nil {
		return err
	}
	s := &sftpServer{host: h, acts: acts, out: out, open: map[string]string{}}
	for {
		if err := s.one(in); err != nil {
			return err
		}
	}
}

type sftpServer struct {
	host *Host
	acts account
	out  io.Writer
	// open: path by handle.
	open map[string]string
	next int
}

var errShort = errors.New("a short SFTP packet")

// packet is what is left of one to read.
type packet struct {
	b   []byte
	err error
}

func (p *packet) uint32() uint32 {
	if len(p.b) < 4 {
		p.err = errShort
		return 0
	}
	n := binary.BigEndian.Uint32(p.b)
	p.b = p.b[4:]
	return n
}

func (p *packet) text() string {
	n := int(p.uint32())
	if n > len(p.b) {
		p.err = errShort
		return ""
	}
	t := string(p.b[:n])
	p.b = p.b[n:]
	return t
}

func (s *sftpServer) one(in io.Reader) error {
	head := make([]byte, 4)
	if _, err := io.ReadFull(in, head); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head)
	if n < 5 || n > 1<<20 {
		return fmt.Errorf("an SFTP packet of %d bytes", n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(in, body); err != nil {
		return err
	}
	p := &packet{b: body[1:]}
	id := p.uint32() // of init: the version
	if body[0] == sftpInit {
		return s.send(sftpVersion, pair(binary.BigEndian.AppendUint32(nil, 3)))
	}
	return s.answer(body[0], id, p)
}

func pair(b []byte, texts ...string) []byte {
	for _, t := range texts {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(t))), t...)
	}
	return b
}

func (s *sftpServer) send(kind byte, body []byte) error {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)+1))
	_, err := s.out.Write(append(append(b, kind), body...))
	return err
}

func (s *sftpServer) status(id, code uint32) error {
	return s.send(sftpStatus, pair(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, id), code), "", ""))
}

func (s *sftpServer) answer(kind byte, id uint32, p *packet) error {
	h := s.host
	h.mu.Lock()
	defer h.mu.Unlock()
	switch kind {
	case sftpOpen:
		path := p.text()
		if p.err != nil {
			return p.err
		}
		s.next++
		handle := fmt.Sprint(s.next)
		s.open[handle] = path
		h.disk.put(path, nil, s.acts, 0o600)
		h.fleet.counters.add(func(c *Counts) { c.Files++ })
		return s.send(sftpHandle, pair(binary.BigEndian.AppendUint32(nil, id), handle))
	case sftpRemove:
		delete(h.disk, p.text())
		return s.status(id, sftpOK)
	case sftpClose:
		delete(s.open, p.text())
		return s.status(id, sftpOK)
	case sftpWrite, sftpFsetstat, sftpSetstat:
		path := p.text()
		if kind != sftpSetstat {
			path = s.open[path]
		}
		f := h.disk[path]
		if f == nil {
			return s.status(id, sftpFailed)
		}
		if kind == sftpWrite {
			f.write(p)
		} else {
			f.set(p)
		}
		if p.err != nil {
			return p.err
		}
		return s.status(id, sftpOK)
	}
	return fmt.Errorf("the SFTP packet %d is not in the model", kind)
}

func (f *file) write(p *packet) {
	at := int(uint64(p.uint32())<<32 | uint64(p.uint32()))
	data := p.text()
	if end := at + len(data); end > len(f.data) {
		f.data = append(f.data, make([]byte, end-len(f.data))...)
	}
	copy(f.data[at:], data)
	f.mtime = time.Now()
}

// set takes the attributes owner (flag 2) and mode (flag 4).
func (f *file) set(p *packet) {
	flags := p.uint32()
	if flags&1 != 0 {
		p.uint32()
		p.uint32()
	}
	if flags&2 != 0 {
		f.owner = accountOf(int(p.uint32()))
		f.group = groupOf(int(p.uint32()))
	}
	if flags&4 != 0 {
		f.mode = p.uint32() & 0o777
	}
}
