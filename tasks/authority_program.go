package tasks

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

//go:embed authority_program_probe.sh
var authorityProgramProbe string

//go:embed authority_program_place.sh
var authorityProgramPlace string

//go:embed authority_program_key.sh
var authorityProgramKey string

// sudoersFile lets one user run RestrictedProgram as root, and nothing else.
const sudoersFile = "/etc/sudoers.d/pgfleet-ca"

var _ = register(Kind{
	Name:    "authority_program",
	Summary: "The program that is all pgfleet may run on the host of an authority in mode restricted, and the policy that it signs by",
	Doc: `Installs ` + "`" + pki.RestrictedProgram + "`, `" + PolicyFolder + `/NAME` + "`" + ` and what lets one user run that program as root: a rule of sudo, and with key an
SSH key for which sshd runs that program whatever is asked for. It needs root, so ` + "`pgfleet authority restrict`" + ` runs it, with another login than the one that pgfleet has
otherwise; in a playbook for the restricted host itself it cannot work. Done is what answers to that user.`,
	Example: "authority_program: {name: clients, user: pgfleet}",
	New:     func() Task { return &authorityProgramTask{} },
	Roles:   []string{"root_ca", "intermediate_ca"},
})

// authorityProgramTask is the kind authority_program.
type authorityProgramTask struct {
	Name string `param:"name,required" doc:"the authority"`
	User string `param:"user,required" doc:"who logs in from pgfleet's machine; root needs no sudo"`
	Key  string `param:"key" doc:"a public SSH key, as in authorized_keys: whoever logs in with it gets the program, whatever is asked for"`
}

var (
	loginUser = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)
	publicKey = regexp.MustCompile(`^(ssh-|ecdsa-|sk-)[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [ -~]*)?$`)
)

// Validate refuses users and keys that cannot be.
func (t *authorityProgramTask) Validate() []*ParamError {
	var errs []*ParamError
	if t.User != "" && !loginUser.MatchString(t.User) {
		errs = append(errs, &ParamError{"user", fmt.Sprintf("%q is not a user's name: small letters, digits, _ and -", t.User)})
	}
	if t.Key != "" && !publicKey.MatchString(t.Key) {
		errs = append(errs, &ParamError{"key", "is not one line of an OpenSSH public key: ssh-ed25519 AAAA… comment"})
	}
	return errs
}

// Relies names the authority, so that a wrong name is told early.
func (t *authorityProgramTask) Relies() map[string][]string {
	return map[string][]string{"name": {t.Name}}
}

// RestrictedFile is one file of the installation.
type RestrictedFile struct {
	transport.FileMeta
	Text string
}

// RestrictedFiles are what an authority in mode restricted needs on its host, for a user who logs in. ErrRefused when the policy cannot be written.
func RestrictedFiles(declared map[string]pki.Authority, a pki.Authority, user string) ([]RestrictedFile, error) {
	policy, err := PolicyOf(declared, a)
	if err != nil {
		return nil, err
	}
	files := []RestrictedFile{
		{transport.FileMeta{Path: pki.RestrictedProgram, Owner: "root", Group: "root", Mode: 0o755}, RestrictedProgram()},
		{transport.FileMeta{Path: PolicyFolder + "/" + a.Name, Owner: "root", Group: "root", Mode: 0o600},
			"# What authority " + a.Name + " signs. Written by pgfleet authority restrict from the inventory; what is stricter may stay.\n" + policy.String()},
	}
	if user != "root" {
		files = append(files, RestrictedFile{transport.FileMeta{Path: sudoersFile, Owner: "root", Group: "root", Mode: 0o440},
			"# pgfleet may sign, and do nothing else. Both SSH variables are for the log.\n" +
				"Defaults!" + pki.RestrictedProgram + " env_reset, env_keep += \"SSH_ORIGINAL_COMMAND SSH_CLIENT\"\n" +
				user + " ALL=(root) NOPASSWD: " + pki.RestrictedProgram + " \"\"\n"})
	}
	return files, nil
}

// ForcedCommand is the line of authorized_keys for a key that gets the program alone.
func ForcedCommand(user, key string) string {
	command := pki.RestrictedProgram
	if user != "root" {
		command = "sudo -n " + command
	}
	return `command="` + command + `",restrict ` + key
}

func (t *authorityProgramTask) keys() (state, call, key string) {
	return "restricted.state", "restricted:" + t.Name, "restricted.key"
}

// keyWords are the arguments of authority_program_key.sh.
func (t *authorityProgramTask) keyWords(what string) []string {
	return []string{what, ForcedCommand(t.User, t.Key), strings.Fields(t.Key)[1]}
}

// Needs reads the files, what else the user may do, and calls the program as that user.
func (t *authorityProgramTask) Needs(h *Host) []transport.Step {
	a, ok := h.Fleet.Authorities[t.Name]
	files, err := RestrictedFiles(h.Fleet.Authorities, a, t.User)
	if !ok || a.Host != h.Name || err != nil {
		return nil
	}
	stateKey, callKey, keyKey := t.keys()
	steps := []transport.Step{{Key: stateKey, Shell: authorityProgramProbe, Argv: []string{t.User, pki.RestrictedProgram, PolicyFolder}, Probe: true}}
	for _, f := range files {
		steps = append(steps, transport.Step{Key: "file:" + f.Path, Read: f.Path, Probe: true})
	}
	a.Mode = "restricted"
	call := AuthorityProbe(a)
	call.Key, call.User = callKey, t.User
	if t.User == "root" {
		call.User = ""
	} else {
		call.Argv = append([]string{"sudo", "-n"}, call.Argv...)
	}
	steps = append(steps, call)
	if t.Key != "" {
		steps = append(steps, transport.Step{Key: keyKey, Shell: authorityProgramKey, Argv: t.keyWords("look"), User: t.User, Probe: true})
	}
	return steps
}

// Check compares what is installed with what should be.
func (t *authorityProgramTask) Check(_ context.Context, h *Host) (*Change, error) {
	a, ok := h.Fleet.Authorities[t.Name]
	if !ok || a.Host != h.Name {
		return nil, fmt.Errorf("authority %s is not on host %s: %w", t.Name, h.Name, ErrRefused)
	}
	files, err := RestrictedFiles(h.Fleet.Authorities, a, t.User)
	if err != nil {
		return nil, err
	}
	stateKey, callKey, keyKey := t.keys()
	state, err := h.View.Get(stateKey)
	if err != nil {
		return nil, err
	}
	if state.Err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, state.Err)
	}
	var reasons, diffs []string
	var wrong []RestrictedFile
	for _, f := range files {
		r, err := h.View.Get("file:" + f.Path)
		if err != nil {
			return nil, err
		}
		if r.Err != nil && !errors.Is(r.Err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read %s: %w", f.Path, r.Err)
		}
		if r.Err != nil || string(r.Stdout) != f.Text || r.File == nil || r.File.Mode.Perm() != f.Mode {
			wrong, reasons = append(wrong, f), append(reasons, "install "+f.Path)
			if f.Path != pki.RestrictedProgram {
				diffs = append(diffs, f.Path+"\n"+indent("- ", string(r.Stdout))+indent("+ ", f.Text))
			}
		}
	}
	key := false
	if t.Key != "" {
		r, err := h.View.Get(keyKey)
		if err != nil {
			return nil, err
		}
		if r.Err != nil {
			return nil, fmt.Errorf("%w: SSH key of %s: %w", ErrRefused, t.User, r.Err)
		}
		if key = strings.TrimSpace(string(r.Stdout)) != "there"; key {
			reasons = append(reasons, "let the SSH key run it")
			diffs = append(diffs, "authorized_keys of "+t.User+"\n+ "+ForcedCommand(t.User, t.Key)+"\n")
		}
	}
	if len(reasons) == 0 {
		return nil, t.answers(h, callKey)
	}
	return t.change(h, a, reasons, diffs, wrong, key), nil
}

// answers tells whether the program answers to the user.
func (t *authorityProgramTask) answers(h *Host, callKey string) error {
	r, err := h.View.Get(callKey)
	if err != nil {
		return err
	}
	s, err := ParseAuthority(r)
	switch {
	case err != nil:
		return fmt.Errorf("%w: all is installed, but %s gets no answer from %s (does /etc/sudoers include /etc/sudoers.d?): %w", ErrRefused, t.User, pki.RestrictedProgram, err)
	case s.Folder != "ours" || s.Owner != t.Name:
		return fmt.Errorf("%w: %s answers, but not for authority %s", ErrRefused, pki.RestrictedProgram, t.Name)
	}
	return nil
}

func (t *authorityProgramTask) change(h *Host, a pki.Authority, reasons, diffs []string, files []RestrictedFile, key bool) *Change {
	stateKey, callKey, keyKey := t.keys()
	c := &Change{Summary: strings.Join(reasons, ", "), Diff: strings.Join(diffs, "\n"), Touches: []string{stateKey, callKey}}
	if key {
		c.Touches = append(c.Touches, keyKey)
	}
	var places []string
	steps := []transport.Step{{Key: "folders", Shell: `umask 022 && mkdir -p "$1" "$2"`, Argv: []string{pki.RestrictedProgram[:strings.LastIndexByte(pki.RestrictedProgram, '/')], PolicyFolder}}}
	for _, f := range files {
		c.Touches = append(c.Touches, "file:"+f.Path)
		meta := f.FileMeta
		meta.Path, meta.Mode = f.Path+".new", 0o600 // sudo passes over names with a dot
		steps = append(steps, transport.Step{Write: &meta, Stdin: []byte(f.Text)})
		places = append(places, fmt.Sprintf("%04o", f.Mode), f.Path)
	}
	steps = append(steps, transport.Step{Key: "place", Shell: authorityProgramPlace, Argv: places})
	if key {
		steps = append(steps, transport.Step{Key: keyKey, Shell: authorityProgramKey, Argv: t.keyWords("add"), User: t.User})
	}
	if len(a.AllowedNames) == 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("authority %s signs any name: allowed_names in the inventory says which ones it shall sign", a.Name))
	}
	if r, err := h.View.Get(stateKey); err == nil {
		if more := strings.TrimSpace(string(r.Stdout)); more != "" {
			c.Notes = append(c.Notes, fmt.Sprintf("%s may run more than this as root on %s (%s): take those rules away, or pgfleet's machine still has root there", t.User, h.Name, inShort(strings.Split(more, "\n"), 3, "; ")))
		}
	}
	c.Apply = func(context.Context, Doer) ([]transport.Step, error) { return steps, nil }
	return c
}
