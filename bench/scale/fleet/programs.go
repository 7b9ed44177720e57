package fleet

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// program is one of pgfleet's programs in the model: it changes the host and gives what the program would print, and its exit code.
type program struct {
	name string
	run  func(h *Host, s *step) reply
}

// reply is what a step printed, and its exit code.
type reply struct {
	out, err []byte
	code     int
}

func said(text string) reply { return reply{out: []byte(text)} }

func failed(text string) reply { return reply{err: []byte(text + "\n"), code: 1} }

// programs are those that the model knows, by their whole text. Those of Go constants are known by how they begin.
type programs struct {
	byText map[string]program
	begin  map[string]program
	reader string
	ca     string
}

// parts of programs, each a file below the repository, or text after "="; a program is some of them one after the other.
const (
	look  = "tasks/certificate_look.sh"
	check = "tasks/certificate_check.sh"
	block = "tasks/identity_block.sh"
	as    = "tasks/postgres_as.sh"
	lib   = "tasks/postgres_lib.sh"
)

var known = []struct {
	run   func(*Host, *step) reply
	parts []string
}{
	{(*Host).postgresProbe, []string{as, "tasks/postgres_probe.sh"}},
	{(*Host).etcProbe, []string{look, "tasks/certificate_probe.sh"}},
	{(*Host).identityProbe, []string{look, "tasks/identity_probe.sh"}},
	{(*Host).hostsProbe, []string{look, "tasks/hosts_entry_probe.sh"}},
	{(*Host).hostsWrite, []string{check, block, "tasks/hosts_entry.sh"}},
	{(*Host).keyRequest, []string{check, "tasks/certificate_request.sh"}},
	{(*Host).certificateInstall, []string{check, "tasks/certificate_install.sh"}},
	{(*Host).certificateReadable, []string{check, "tasks/certificate_readable.sh"}},
	{(*Host).certificatePrune, []string{"tasks/certificate_prune.sh"}},
	{(*Host).identityFolders, []string{check, "tasks/identity_folders.sh"}},
	{(*Host).identitySwitch, []string{check, block, "tasks/identity_switch.sh"}},
	{(*Host).trustFolder, []string{check, "tasks/trust_folder.sh"}},
	{(*Host).trustReadable, []string{check, "tasks/trust_readable.sh"}},
	{(*Host).trustPrune, []string{"tasks/trust_prune.sh"}},
	{(*Host).settings, []string{as, lib, "tasks/undo_copy.sh", "tasks/postgres_settings.sh"}},
	{(*Host).hba, []string{as, lib, "tasks/undo_copy.sh", "tasks/postgres_hba.sh"}},
	{(*Host).reload, []string{as, lib, "tasks/postgres_reload.sh"}},
	{(*Host).reloadProving, []string{as, lib, "tasks/postgres_reload.sh", "=shift 2\n", "tasks/undo_proving.sh"}},
	{reloading((*Host).settings), []string{as, lib, "tasks/undo_copy.sh", "tasks/postgres_settings.sh", "=shift 5\n", "tasks/postgres_reload.sh", "=shift 2\n", "tasks/undo_proving.sh"}},
	{reloading((*Host).hba), []string{as, lib, "tasks/undo_copy.sh", "tasks/postgres_hba.sh", "=shift 3\n", "tasks/postgres_reload.sh", "=shift 2\n", "tasks/undo_proving.sh"}},
	{(*Host).makeRoles, []string{as, lib, "tasks/postgres_role.sh"}},
	{(*Host).undoProving, []string{as, lib, "tasks/undo_proving.sh"}},
	{(*Host).undoProved, []string{as, lib, "tasks/undo_proved.sh"}},
	{(*Host).verify, []string{"tasks/verify.sh"}},
	{(*Host).sources, []string{"tasks/verify_source.sh"}},
	{(*Host).authority, []string{"tasks/ca.sh"}},
	{(*Host).leaseTake, []string{"playbooks/lease_take.sh"}},
	{(*Host).leaseRelease, []string{"playbooks/lease_release.sh"}},
}

// readPrograms reads the programs' texts from the repository.
func readPrograms(root string) (*programs, error) {
	p := &programs{byText: map[string]program{}, begin: map[string]program{
		"for n; do v=${n#*:}; r=\n":   {"ids", (*Host).ids},
		"id -un\nopenssl version 2>/": {"ping", (*Host).ping},
	}}
	read := func(name string) (string, error) {
		text, err := os.ReadFile(filepath.Join(root, name))
		return string(text), err
	}
	for _, k := range known {
		text := ""
		for _, part := range k.parts {
			if words, ok := strings.CutPrefix(part, "="); ok {
				text += words
				continue
			}
			one, err := read(part)
			if err != nil {
				return nil, err
			}
			text += one
		}
		p.byText[text] = program{strings.TrimSuffix(filepath.Base(k.parts[len(k.parts)-1]), ".sh"), k.run}
	}
	for name, run := range map[string]func(*Host, *step) reply{"place": (*Host).place, "write": (*Host).write} {
		text, err := read("transport/shell/programs/" + name + ".sh")
		if err != nil {
			return nil, err
		}
		p.byText[stripped(text)] = program{name, run}
	}
	var err error
	if p.reader, err = read("tasks/postgres_reader.sh"); err != nil {
		return nil, err
	}
	p.ca, err = read("tasks/ca.sh")
	return p, err
}

// stripped is what transport/shell does to its own programs before it sends them.
func stripped(source string) string {
	var b strings.Builder
	for line := range strings.Lines(source) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// find gives the program of a step.
func (p *programs) find(s *step) (program, error) {
	switch {
	case len(s.words) > 3 && s.words[0] == "/bin/sh" && s.words[1] == "-c":
		text := s.words[2]
		if one, ok := p.byText[text]; ok {
			return one, nil
		}
		for begin, one := range p.begin {
			if strings.HasPrefix(text, begin) {
				return one, nil
			}
		}
		return program{}, fmt.Errorf("this program is not in the model: %.120q", text)
	case len(s.words) > 0 && s.words[0] == "date":
		return program{"date", (*Host).date}, nil
	case len(s.words) > 0 && (s.words[0] == "true" || s.words[0] == "uptime"):
		return program{"exec", (*Host).date}, nil
	}
	return program{}, fmt.Errorf("this command is not in the model: %.120q", s.words)
}
