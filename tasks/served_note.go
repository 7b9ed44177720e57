package tasks

import (
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A server takes certificates, authorities and lists when it is started and when it reads its files again, and at no other time. What it was seen to serve is noted on its host
// with the times of both, so that a look of a run needs no TLS connection while neither has changed. (Told to read them while postgresql.conf is broken, it takes the files of TLS
// and keeps its time: they are newer than that, which is a reason to reload.)

// mostNoted is in bytes.
const mostNoted = 64 << 10

// servedNote is what postgres_reader.sh believes: size, both times and the data directory in a line, then certificates as they are served, leaf first, and the names of the
// authorities asked for. It is told of what the files hold, which the server has just been seen to serve. "" where the times are not known, or there is more to note than a
// program can be given as a word: then the next look asks the server.
func servedNote(c *Cluster) string {
	if c.since == "" {
		return ""
	}
	var b strings.Builder
	for _, der := range certificatesDER(c.Files[c.upcomingPath("ssl_cert_file")].Bytes) {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	for _, name := range authorityNames(c) {
		fmt.Fprintf(&b, "authority %s\n", strconv.Quote(name))
	}
	if b.Len() > mostNoted {
		return ""
	}
	return fmt.Sprintf("%d %s %s\n%s", b.Len(), c.since, c.DataDir, b.String())
}

// readNoted takes a servedNote.
func (c *Cluster) readNoted(body []byte) error {
	f, _, err := readFileRecord(body)
	if err != nil {
		return err
	}
	var names []string
	_, text, _ := strings.Cut(string(f.Bytes), "\n")
	for line := range strings.Lines(text) {
		quoted, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "authority ")
		if !ok {
			continue
		}
		name, err := strconv.Unquote(quoted)
		if err != nil {
			return fmt.Errorf("%s: %w; remove the file", f.Path, err)
		}
		names = append(names, name)
	}
	chain := certificatesDER([]byte(text))
	if len(chain) == 0 {
		return fmt.Errorf("%s: %w; remove the file", f.Path, errors.New("no certificate is in it"))
	}
	c.Served, c.ServedCAs = chain, names
	return nil
}
