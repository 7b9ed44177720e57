package tasks

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/pgfleet/pgfleet/transport"
)

var _ = register(Kind{
	Name:    "directory",
	Summary: "make a directory exist with an owner and a mode, or be absent",
	Doc: `Missing directories above it are made too, with mode 0755. state: absent removes it only when it is empty. Refused: symbolic links anywhere in the path,
directories in which others may write.`,
	Example: "directory: {path: /var/lib/app, owner: app, group: app, mode: \"0750\"}",
	New:     func() Task { return new(directoryTask) },
})

// makeDirectory is a program: $1 path, $2 mode, $3 owner:group or "". It is closed until it has its mode.
const makeDirectory = `umask 022
mkdir -p -- "${1%/*}/" || exit 1
[ -d "$1" ] || mkdir -m 700 -- "$1" || exit 1
` + setDirectory

// setDirectory is a program: $1 path, $2 mode, $3 owner:group or "". In a folder like /tmp only what is root's cannot be exchanged for a link, so root takes
// it first, and gives it away last.
const setDirectory = `has=$(stat -c %u:%g -- "$1") || exit 1
[ "$(id -u)" != 0 ] || chown -h 0 -- "$1" || exit 1
[ -d "$1" ] && [ ! -L "$1" ] || { echo "$1 is not a directory" >&2; exit 1; }
chmod -- "$2" "$1" && chown -h -- "${3:-$has}" "$1"`

// directoryTask is one directory task as written.
type directoryTask struct {
	Path  string `param:"path,required" doc:"absolute path on the host"`
	Owner string `param:"owner" doc:"user; not given: as it is, a new one belongs to whoever makes it (root)"`
	Group string `param:"group" doc:"group; not given: as it is"`
	Mode  string `param:"mode" doc:"octal permission bits, quoted (\"0750\"); not given: as it is, a new one 0755"`
	State string `param:"state" default:"present" allowed:"present absent" doc:"present or absent"`

	mode fs.FileMode
}

// Validate refuses paths and modes that make no sense.
func (t *directoryTask) Validate() []*ParamError {
	errs := append(checkPath(t.Path), checkOwner(t.Owner, t.Group)...)
	var err error
	if t.mode, err = parseMode(t.Mode); err != nil {
		errs = append(errs, &ParamError{"mode", err.Error()})
	}
	return errs
}

func (t *directoryTask) key() string { return "directory:" + t.Path }

// Needs looks at the path.
func (t *directoryTask) Needs(*Host) []transport.Step {
	return []transport.Step{pathProbe(t.key(), t.Path, "meta")}
}

// Check compares the directory.
func (t *directoryTask) Check(_ context.Context, h *Host) (*Change, error) {
	l, e, err := lookAt(h, t.key(), t.Path)
	if err != nil {
		return nil, err
	}
	if e.Kind != "dir" && e.Kind != "absent" {
		return nil, fmt.Errorf("%w: %s on %s is not a directory", ErrRefused, t.Path, h.Name)
	}
	if t.State == "absent" {
		if e.Kind == "absent" {
			return nil, nil
		}
		return t.change("remove directory "+t.Path, "- "+t.Path+"/\n", transport.Step{Key: "remove " + t.Path, User: l.Actor, Argv: []string{"rmdir", "--", t.Path}}), nil
	}
	want := wantedMeta(e, t.Path, t.Owner, t.Group, t.mode, 0o755)
	if l.Actor != "" && want.Owner != "" && want.Owner != l.Actor {
		return nil, fmt.Errorf("%w: %s on %s is in a folder of %s, where only that user acts: it cannot belong to %s", ErrRefused, t.Path, h.Name, l.Actor, want.Owner)
	}
	if e.Kind == "absent" {
		owner := want.Owner
		if want.Group != "" {
			owner += ":" + want.Group
		}
		return t.change("make directory "+t.Path, fmt.Sprintf("+ %s/ %04o %s\n", t.Path, uint32(want.Mode), owner),
			transport.Step{Key: "make " + t.Path, User: l.Actor, Shell: makeDirectory, Argv: []string{t.Path, fmt.Sprintf("%04o", uint32(want.Mode)), owner}}), nil
	}
	meta := metaDiff(e, want)
	if meta == "" {
		return nil, nil
	}
	return t.change("change owner or mode of "+t.Path, meta, transport.Step{Key: "owner and mode of " + t.Path, User: l.Actor, Shell: setDirectory,
		Argv: []string{t.Path, fmt.Sprintf("%04o", uint32(want.Mode)), want.Owner + ":" + want.Group}}), nil
}

func (t *directoryTask) change(summary, diff string, steps ...transport.Step) *Change {
	return &Change{Summary: summary, Diff: diff, Touches: []string{t.key()},
		Apply: func(context.Context, Doer) ([]transport.Step, error) { return steps, nil }}
}
