package tasks

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pgfleet/pgfleet/transport"
)

// largestSource is how many bytes a file may have: what a host gives when it is read.
const largestSource = 64 << 20

//go:embed file_probe.sh
var fileProbeProgram string

//go:embed file_content.sh
var fileContentProgram string

var _ = register(Kind{
	Name:    "file",
	Summary: "make a file have a content, an owner and a mode, or be absent",
	Doc: `The file is replaced in one rename; owner and mode are set before its first byte is written. In a folder that belongs to another user than root it is
written as that user. Refused: symbolic links anywhere in the path, folders in which others may write, private keys as content.`,
	Example: "file: {path: /etc/motd, content: \"managed by pgfleet\\n\", mode: \"0644\"}",
	New:     func() Task { return new(fileTask) },
})

// fileTask is one file task as written.
type fileTask struct {
	Path    string `param:"path,required" doc:"absolute path on the host"`
	Content string `param:"content" doc:"what the file holds"`
	Src     string `param:"src" doc:"a file on this machine whose content it gets, instead of content"`
	Owner   string `param:"owner" doc:"user; not given: as it is, a new file belongs to whoever writes it (root)"`
	Group   string `param:"group" doc:"group; not given: as it is"`
	Mode    string `param:"mode" doc:"octal permission bits, quoted (\"0644\"); not given: as it is, a new file 0644 (0600 with secret)"`
	State   string `param:"state" default:"present" allowed:"present absent" doc:"present or absent"`
	Secret  bool   `param:"secret" doc:"never show the content, not even in a diff"`

	data []byte
	mode fs.FileMode
}

// Validate refuses paths and modes that make no sense and reads src.
func (t *fileTask) Validate() []*ParamError {
	errs := append(checkPath(t.Path), checkOwner(t.Owner, t.Group)...)
	var err error
	if t.mode, err = parseMode(t.Mode); err != nil {
		errs = append(errs, &ParamError{"mode", err.Error()})
	}
	switch {
	case t.State == "absent" && (t.Content != "" || t.Src != ""):
		errs = append(errs, &ParamError{"state", "a file that shall be absent has no content"})
	case t.Content != "" && t.Src != "":
		errs = append(errs, &ParamError{"src", "content and src cannot be together"})
	case t.Src != "":
		if t.data, err = readSource(t.Src); err != nil {
			errs = append(errs, &ParamError{"src", err.Error()})
		}
	default:
		t.data = []byte(t.Content)
	}
	if strings.Contains(string(t.data), "PRIVATE KEY-----") {
		errs = append(errs, &ParamError{"content", "is a private key: a key stays on the machine that made it; let the certificate task make one there"})
	}
	return errs
}

// readSource gives the bytes of a file of this machine, of which there are no more than can be read back from a host.
func readSource(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, largestSource+1))
	if err == nil && len(data) > largestSource {
		err = fmt.Errorf("%s has more than %d MiB", name, largestSource>>20)
	}
	return data, err
}

// checkPath refuses what is not an absolute, clean path.
func checkPath(p string) []*ParamError {
	switch {
	case !path.IsAbs(p):
		return []*ParamError{{"path", fmt.Sprintf("%q is not absolute", p)}}
	case path.Clean(p) != p || p == "/":
		return []*ParamError{{"path", fmt.Sprintf("%q: write %q, without .. and doubled or trailing slashes, and not / itself", p, path.Clean(p))}}
	case strings.ContainsFunc(p, unicode.IsControl):
		return []*ParamError{{"path", "has a control character"}}
	}
	return nil
}

// checkOwner refuses what is no name or number of a user and of a group.
func checkOwner(owner, group string) []*ParamError {
	var errs []*ParamError
	for _, p := range []struct{ param, name string }{{"owner", owner}, {"group", group}} {
		if strings.HasPrefix(p.name, "-") || strings.ContainsFunc(p.name, func(r rune) bool {
			return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune(":/;,", r)
		}) {
			errs = append(errs, &ParamError{p.param, fmt.Sprintf("%q is no name", p.name)})
		}
	}
	return errs
}

// parseMode reads octal permission bits, 0 for "".
func parseMode(text string) (fs.FileMode, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "0o"), 8, 32)
	if err != nil || n == 0 || n > 0o777 {
		return 0, fmt.Errorf("%q is not a mode: octal permission bits are wanted, quoted, for example \"0640\"", text)
	}
	return fs.FileMode(n), nil
}

func (t *fileTask) key() string { return "file:" + t.Path + ":" + t.much() }

func (t *fileTask) much() string {
	if t.Secret {
		return "sum"
	}
	return "text"
}

// Needs looks at the path.
func (t *fileTask) Needs(*Host) []transport.Step {
	return []transport.Step{pathProbe(t.key(), t.Path, t.much())}
}

func pathProbe(key, p, much string) transport.Step {
	return transport.Step{Key: key, Probe: true, Shell: fileProbeProgram, Argv: []string{p, much, certificateLookProgram + fileContentProgram}}
}

// lookAt reads such a probe.
func lookAt(h *Host, key, p string) (*look, *entry, error) {
	result, err := h.View.Get(key)
	if err != nil {
		return nil, nil, err
	}
	if result.Err != nil {
		return nil, nil, fmt.Errorf("look at %s on %s: %w", p, h.Name, result.Err)
	}
	l, err := parseLook(result.Stdout)
	if err != nil {
		return nil, nil, fmt.Errorf("look at %s on %s: %w", p, h.Name, err)
	}
	if l.Refused != "" {
		return nil, nil, fmt.Errorf("%w: %s on %s: %s", ErrRefused, p, h.Name, l.Refused)
	}
	e := l.entry(p)
	switch e.Kind {
	case "link":
		return nil, nil, fmt.Errorf("%w: %s on %s is a symbolic link: nothing is written through it; name the path that it leads to, or remove it", ErrRefused, p, h.Name)
	case "unknown":
		return nil, nil, fmt.Errorf("%w: what %s on %s is could not be seen", ErrRefused, p, h.Name)
	}
	return l, e, nil
}

// Check compares the file.
func (t *fileTask) Check(_ context.Context, h *Host) (*Change, error) {
	l, e, err := lookAt(h, t.key(), t.Path)
	if err != nil {
		return nil, err
	}
	if e.Kind != "file" && e.Kind != "absent" {
		return nil, fmt.Errorf("%w: %s on %s is not a file", ErrRefused, t.Path, h.Name)
	}
	if t.State == "absent" {
		if e.Kind == "absent" {
			return nil, nil
		}
		return t.change("remove "+t.Path, t.diff(e, ""), transport.Step{Key: "remove " + t.Path, User: l.Actor, Argv: []string{"rm", "-f", "--", t.Path}}), nil
	}
	want := t.wanted(e)
	if l.Actor != "" && want.Owner != "" && want.Owner != l.Actor {
		return nil, fmt.Errorf("%w: %s on %s is in a folder of %s, where only that user acts: it cannot belong to %s", ErrRefused, t.Path, h.Name, l.Actor, want.Owner)
	}
	sum := sha256.Sum256(t.data)
	meta := metaDiff(e, want)
	switch same := e.Kind == "file" && l.Sum == hex.EncodeToString(sum[:]); {
	case same && meta == "":
		return nil, nil
	case same:
		// Written anew: chmod would follow a link that took the file's place, in a folder like /tmp.
		return t.change("change owner or mode of "+t.Path, meta, transport.Step{User: l.Actor, Write: &want, Stdin: t.data}), nil
	}
	verb := "change "
	if e.Kind == "absent" {
		verb = "write "
	}
	return t.change(verb+t.Path, meta+t.diff(e, string(t.data)), transport.Step{User: l.Actor, Write: &want, Stdin: t.data}), nil
}

// wanted is the file as it shall be; what is not asked for stays as it is.
func (t *fileTask) wanted(e *entry) transport.FileMeta {
	return wantedMeta(e, t.Path, t.Owner, t.Group, t.mode, map[bool]fs.FileMode{false: 0o644, true: 0o600}[t.Secret])
}

// wantedMeta gives path, owner, group and mode as they shall be; what is not asked for stays as it is, or is fresh for what is new.
func wantedMeta(e *entry, p, owner, group string, mode, fresh fs.FileMode) transport.FileMeta {
	m := transport.FileMeta{Path: p, Owner: owner, Group: group, Mode: mode}
	if e.Kind == "absent" {
		if m.Mode == 0 {
			m.Mode = fresh
		}
		return m
	}
	if m.Owner == "" {
		m.Owner = e.Owner
	}
	if m.Group == "" {
		m.Group = e.Group
	}
	if m.Mode == 0 {
		m.Mode = fs.FileMode(e.Mode)
	}
	return m
}

// metaDiff shows owner, group and mode when they change.
func metaDiff(e *entry, want transport.FileMeta) string {
	if e.Kind == "absent" || e.Owner == want.Owner && e.Group == want.Group && fs.FileMode(e.Mode) == want.Mode {
		return ""
	}
	return fmt.Sprintf("- %s:%s %04o %s\n+ %s:%s %04o %s\n", e.Owner, e.Group, e.Mode, e.Path, want.Owner, want.Group, uint32(want.Mode), want.Path)
}

// diff shows the content when it may be shown.
func (t *fileTask) diff(e *entry, after string) string {
	switch {
	case t.Secret:
		return t.Path + ": the content changes and is secret\n"
	case e.Kind == "file" && e.Text == "" && e.Size > 0:
		return t.Path + ": the content before is not shown (large, its owner's alone, or holds a key)\n"
	case !utf8.ValidString(after) || !utf8.ValidString(e.Text) || strings.ContainsRune(after, 0):
		return fmt.Sprintf("%s: the content changes and is not text (%d bytes)\n", t.Path, len(after))
	}
	return diffText(t.Path, e.Text, after)
}

func (t *fileTask) change(summary, diff string, steps ...transport.Step) *Change {
	return &Change{Summary: summary, Diff: diff, Touches: []string{t.key()},
		Apply: func(context.Context, Doer) ([]transport.Step, error) { return steps, nil }}
}
