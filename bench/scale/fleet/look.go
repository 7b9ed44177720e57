package fleet

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// looker prints what tasks/certificate_look.sh does.
type looker struct {
	bytes.Buffer
	disk disk
}

// say prints a text's lines after its heading.
func (l *looker) say(heading string, data []byte) {
	fmt.Fprintln(l, heading)
	for line := range strings.Lines(string(data)) {
		fmt.Fprintf(l, "|%s\n", strings.TrimSuffix(line, "\n"))
	}
}

func (l *looker) entry(p, kind string) {
	f := l.disk[p]
	if f == nil {
		fmt.Fprintf(l, "entry absent %s\n", p)
		return
	}
	what := "file"
	if f.folder {
		what = "dir"
	}
	fmt.Fprintf(l, "entry %s %s\nmeta %s %s %o %d %d %d 1:1 %s\n", what, p, f.owner.name, f.group, f.mode, f.mtime.Unix(), f.owner.uid, len(f.data), p)
	if f.folder {
		return
	}
	switch kind {
	case "pem":
		l.say("pem "+p, f.data)
	case "key":
		l.say("pub "+p, f.data)
	case "text":
		l.say("text "+p, f.data)
	}
}

func (l *looker) versions(folder, name string) {
	for _, v := range l.disk.below(folder) {
		l.entry(folder+"/"+v, "")
		l.entry(folder+"/"+v+"/"+name+".key", "key")
		l.entry(folder+"/"+v+"/"+name+".crt", "pem")
	}
}

func (h *Host) looker(uid int) *looker {
	l := &looker{disk: h.disk}
	fmt.Fprintf(l, "uid %d\n", uid)
	return l
}

func (l *looker) done() reply {
	fmt.Fprintf(l, "meta root root 555 %d 0 0 1:1 /proc/self/.\ndone\n", time.Now().Unix())
	return reply{out: l.Bytes()}
}

func (h *Host) etcProbe(*step) reply {
	l := h.looker(0)
	const top = "/etc/pgfleet"
	l.entry(top, "")
	if h.disk[top] != nil {
		for _, c := range h.disk.below(top) {
			c = top + "/" + c
			l.entry(c, "")
			for _, name := range h.disk.below(c) {
				if (strings.HasPrefix(name, "trust-") || strings.HasPrefix(name, "crl-")) && strings.HasSuffix(name, ".pem") {
					l.entry(c+"/"+name, "pem")
				}
			}
			l.entry(c+"/v", "")
			l.versions(c+"/v", "server")
		}
		fmt.Fprintf(l, "listed %s\n", top)
	}
	return l.done()
}

func (h *Host) identityProbe(s *step) reply {
	who := s.acts()
	home := "/home/" + who.name
	if h.disk[home] == nil {
		return failed("OS user " + who.name + " has no home directory")
	}
	l := h.looker(who.uid)
	l.say("home", []byte(home))
	l.say("psql", []byte("/usr/lib/postgresql/15/bin/psql"))
	l.entry(home, "")
	d := home + "/.postgresql"
	l.entry(d, "")
	for _, ending := range []string{".crt", ".crl"} {
		for _, f := range h.disk.below(d) {
			if strings.HasSuffix(f, ending) {
				l.entry(d+"/"+f, "pem")
			}
		}
	}
	if h.disk[d] != nil {
		fmt.Fprintf(l, "listed %s/*.crt\nlisted %s/*.crl\n", d, d)
	}
	for _, f := range []string{"postgresql.key", "client.key"} {
		l.entry(d+"/"+f, "key")
	}
	l.entry(d+"/pgfleet", "")
	d += "/pgfleet/" + s.arg(1)
	l.entry(d, "")
	l.entry(d+"/root.crt", "pem")
	l.entry(d+"/root.crl", "pem")
	l.entry(d+"/pgfleet.env", "text")
	l.entry(d+"/v", "")
	l.versions(d+"/v", "client")
	l.entry(home+"/.pg_service.conf", "")
	if f := h.disk[home+"/.pg_service.conf"]; f != nil {
		block, markers := cutBlock(f.data, s.arg(2), s.arg(3))
		l.say("block", []byte(block))
		fmt.Fprintf(l, "markers %s\n", markers)
		l.say("others", nil)
	}
	return l.done()
}

func (h *Host) hostsProbe(s *step) reply {
	l := h.looker(0)
	l.entry("/etc/hosts", "")
	text := h.disk.text("/etc/hosts")
	block, markers := cutBlock(text, s.arg(1), s.arg(2))
	l.say("block", []byte(block))
	fmt.Fprintf(l, "markers %s\n", markers)
	for _, name := range s.argv()[2:] {
		found := ""
		for line := range strings.Lines(string(text)) {
			for i, word := range strings.Fields(line) {
				if i > 0 && word == name {
					found = strings.Fields(line)[0]
				}
			}
		}
		fmt.Fprintf(l, "resolved %s %s\n", name, found)
	}
	return l.done()
}

// cutBlock gives the lines from first to last with both, and which of the two there are, in order.
func cutBlock(text []byte, first, last string) (block, markers string) {
	var b strings.Builder
	on := false
	for line := range strings.Lines(string(text)) {
		bare := strings.TrimSuffix(line, "\n")
		if bare == first {
			on = true
			markers += "b"
		}
		if on {
			b.WriteString(line)
		}
		if bare == last {
			on = false
			markers += "e"
		}
	}
	return b.String(), markers
}

// withBlock is with_block of tasks/identity_block.sh.
func withBlock(text []byte, first, last string, block []byte) []byte {
	old, markers := cutBlock(text, first, last)
	if markers == "be" {
		return bytes.Replace(text, []byte(old), block, 1)
	}
	if len(text) > 0 && len(block) > 0 && text[len(text)-1] != '\n' {
		text = append(bytes.Clone(text), '\n')
	}
	return append(bytes.Clone(text), block...)
}

func (h *Host) hostsWrite(s *step) reply {
	f := h.disk["/etc/hosts"]
	h.disk.put("/etc/hosts", withBlock(f.data, s.arg(2), s.arg(3), s.lines(3)), root, f.mode)
	return reply{}
}
