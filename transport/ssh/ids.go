package ssh

import (
	"bytes"
	"context"
	"fmt"
	"strconv"

	"github.com/pgfleet/pgfleet/transport"
)

// resolveProgram prints for each word the number of u:<user>, p:<user's group> or g:<group>, "-" where the host knows none.
const resolveProgram = `for n; do v=${n#*:}; r=
case $n in
u:*) r=$(id -u "$v" 2>/dev/null) ;;
p:*) r=$(id -g "$v" 2>/dev/null) ;;
g:*) l=$(getent group "$v" 2>/dev/null)
[ -n "$l" ] || while IFS= read -r x; do case $x in "$v":*) l=$x; break ;; esac; done </etc/group
l=${l#*:}; l=${l#*:}; r=${l%%:*} ;;
esac
printf "%s\n" "${r:--}"; done`

// owner is whom a file is given to; set false: it stays with whoever creates it.
type owner struct {
	set      bool
	uid, gid int
}

// namesOf are the entries of ids that a write needs, in the order user, group.
func (c *conn) namesOf(s transport.Step) []string {
	m := s.Write
	if m.Owner == "" && m.Group == "" {
		return nil
	}
	acting := s.User
	if acting == "" {
		acting = c.host.User
	}
	user, group := "u:"+acting, "p:"+acting
	if m.Owner != "" {
		user = "u:" + m.Owner
	}
	if m.Group != "" {
		group = "g:" + m.Group
	}
	return []string{user, group}
}

// id gives a number: written as one, or learned from the host.
func (c *conn) id(name string) (int, bool) {
	if n, err := strconv.ParseUint(name[2:], 10, 31); err == nil && name[0] != 'p' {
		return int(n), true
	}
	n, ok := c.ids[name]
	return n, ok
}

// ownerOf gives the owner for a write; false when the host does not know a name.
func (c *conn) ownerOf(s transport.Step) (owner, bool) {
	names := c.namesOf(s)
	if names == nil {
		return owner{}, true
	}
	uid, known := c.id(names[0])
	gid, also := c.id(names[1])
	return owner{true, uid, gid}, known && also
}

// unresolved are the names that writes among steps need and that are not known yet.
func (c *conn) unresolved(steps []transport.Step) []string {
	var out []string
	seen := map[string]bool{}
	for _, s := range steps {
		if s.Write == nil {
			continue
		}
		for _, name := range c.namesOf(s) {
			if _, ok := c.id(name); !ok && !seen[name] {
				seen[name] = true
				out = append(out, name)
			}
		}
	}
	return out
}

// runShell runs part through the shell, and asks in passing for the names that writes among later need.
func (c *conn) runShell(ctx context.Context, part, later []transport.Step) ([]transport.Result, error) {
	var names []string
	if !c.noSFTP {
		names = c.unresolved(later)
	}
	if len(names) == 0 {
		return c.session.Run(ctx, part)
	}
	ask := transport.Step{Key: "ids", Shell: resolveProgram, Argv: names, Probe: true}
	results, err := c.session.Run(ctx, append([]transport.Step{ask}, part...))
	if len(results) == 0 {
		return nil, err
	}
	if learned := c.learn(names, results[0]); err == nil && learned != nil && len(part) == 0 {
		err = learned
	}
	return results[1:], err
}

// resolve asks for the names that steps need; mostly they are known by then.
func (c *conn) resolve(ctx context.Context, steps []transport.Step) error {
	if len(c.unresolved(steps)) == 0 {
		return nil
	}
	_, err := c.runShell(ctx, nil, steps)
	return err
}

func (c *conn) learn(names []string, r transport.Result) error {
	lines := bytes.Split(bytes.TrimSuffix(r.Stdout, []byte("\n")), []byte("\n"))
	if r.Err != nil {
		return fmt.Errorf("%w: look up users and groups: %w", errRefused, r.Err)
	}
	if len(lines) != len(names) {
		return fmt.Errorf("%w: look up users and groups: %q", errRefused, r.Stdout)
	}
	for i, name := range names {
		// A name that is not there may be made by the next step.
		if n, err := strconv.Atoi(string(lines[i])); err == nil {
			c.ids[name] = n
		}
	}
	return nil
}
