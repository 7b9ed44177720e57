package tasks

import (
	"context"
	_ "embed"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/postgres"
	"github.com/pgfleet/pgfleet/transport"
)

//go:embed identity_remove.sh
var identityRemoveProgram string

var _ = register(Kind{
	Name:    "offboard",
	Summary: "take back what identities were given: their rules on servers, their files on their client",
	Doc: `On a server their lines in pgfleet's block of pg_hba.conf go; the lines that refuse the same database users stay until the playbook that wrote the block runs
again without them. Your own lines stay as they are. It takes effect with postgres_reload. Under scope: all there are no lines of theirs.

On their client, as its OS user: their block in ~/.pg_service.conf, pgfleet's folder with key and certificate, and the copies of these in ~/.postgresql. Roles in the
database stay.

An identity that stays in the inventory is set up again by the next run of the playbook that does so.`,
	Example: "offboard: {identities: [app1.example.net/dbuser1], profile: server}",
	New:     func() Task { return new(offboardTask) },
	Roles:   []string{"db_server", "client"},
})

// offboardTask is the kind offboard.
type offboardTask struct {
	Identities []string `param:"identities,required" doc:"CLIENT/DATABASE-USER: the client's name in the inventory, the user that it connects as"`
	Profile    string   `param:"profile,required" allowed:"server client" doc:"server: the rules; client: the files"`
}

// Validate refuses what names no identity.
func (t *offboardTask) Validate() []*ParamError {
	var errs []*ParamError
	for _, word := range t.Identities {
		if host, user, ok := strings.Cut(word, "/"); !ok || host == "" || user == "" {
			errs = append(errs, &ParamError{"identities", fmt.Sprintf("%q is not CLIENT/DATABASE-USER, for example app1.example.net/dbuser1", word)})
		}
	}
	return errs
}

// Needs looks at a server's clusters, or at the identities of a client.
func (t *offboardTask) Needs(h *Host) []transport.Step {
	if t.Profile == "server" {
		return []transport.Step{PostgresProbe(h)}
	}
	return identityProbes(h)
}

// Check finds what is still there.
func (t *offboardTask) Check(_ context.Context, h *Host) (*Change, error) {
	switch {
	case len(t.Identities) == 0:
		return nil, nil
	case t.Profile == "server":
		return t.checkServer(h)
	}
	return t.checkClient(h)
}

func (t *offboardTask) means(client string, id Identity) bool {
	return slices.Contains(t.Identities, client+"/"+id.DBUser)
}

// checkServer finds the clusters with rules for the identities.
func (t *offboardTask) checkServer(h *Host) (*Change, error) {
	clusters, err := Clusters(h)
	if err != nil {
		return nil, err
	}
	change := &Change{Touches: []string{KeyPostgres}}
	var titles []string
	var steps []transport.Step
	for _, c := range clusters {
		if !c.Running {
			continue
		}
		w, err := t.withdraw(h, c)
		if err != nil {
			return nil, fmt.Errorf("%s: cluster %s: %w", h.Name, c.ID, err)
		}
		if w == nil {
			continue
		}
		steps = append(steps, w.steps(c.Rules.Stage)...)
		titles = append(titles, "cluster "+c.ID+": take the rules of "+strings.Join(t.Identities, ", ")+" away")
		change.Diff += w.diff()
	}
	if len(steps) == 0 {
		return nil, nil
	}
	change.Summary = strings.Join(titles, "; ")
	change.Apply = func(context.Context, Doer) ([]transport.Step, error) { return steps, nil }
	return change, nil
}

// withdraw gives the work on one cluster's pg_hba.conf; nil: nothing.
func (t *offboardTask) withdraw(h *Host, c *Cluster) (*hbaWork, error) {
	w := &hbaWork{h: h, c: c, before: string(c.HBA)}
	var err error
	if w.was, w.user, err = postgres.SplitBlock(c.HBA); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrRefused, c.HBAFile, err)
	}
	w.lines = w.was
	for _, client := range h.Fleet.Clients(h.Name) {
		for _, id := range client.Identities {
			if t.means(client.Name, id) {
				w.lines = postgres.Withdraw(w.lines, id.DBUser, t.theirsAlone(h, c, client, id), client.Name == h.Name)
			}
		}
	}
	w.after = string(postgres.JoinBlock(w.lines, w.user))
	switch {
	case slices.Equal(w.lines, w.was):
		return nil, nil
	case c.writer(c.HBA) != "":
		return nil, w.managed()
	}
	return w, hbaBroken(c)
}

// theirsAlone are the addresses of a client that no other client with the same database user has.
func (t *offboardTask) theirsAlone(h *Host, c *Cluster, client *Host, id Identity) []netip.Addr {
	return slices.DeleteFunc(c.addressesOf(client), func(addr netip.Addr) bool {
		return slices.ContainsFunc(h.Fleet.Clients(h.Name), func(other *Host) bool {
			return other != client && slices.ContainsFunc(other.Identities, func(o Identity) bool { return o.DBUser == id.DBUser && !t.means(other.Name, o) }) &&
				slices.Contains(c.addressesOf(other), addr)
		})
	})
}

// checkClient finds the identities that still have files.
func (t *offboardTask) checkClient(h *Host) (*Change, error) {
	change := &Change{}
	var titles []string
	var steps []transport.Step
	for _, id := range h.Identities {
		if !t.means(h.Name, id) {
			continue
		}
		st, err := stateOf(h, id)
		if err != nil {
			return nil, err
		}
		copies := t.copies(h, st)
		if st.Block == "" && st.entry(st.Base).Kind == "absent" && len(copies) == 0 {
			continue
		}
		first, last := blockMarks(id)
		steps = append(steps, transport.Step{Key: "remove the files of " + id.DBUser, User: id.OSUser, Shell: certificateCheckProgram + identityBlockProgram + identityRemoveProgram,
			Argv: append([]string{st.Home, st.Below, first, last}, copies...)})
		titles = append(titles, id.DBUser+" of "+id.OSUser)
		change.Touches = append(change.Touches, identityKey(id))
		change.Diff += fmt.Sprintf("- %s (key and certificates)\n- pgfleet's block in %s\n", st.Base, st.ServiceFile)
		for _, name := range copies {
			change.Diff += "- " + st.Home + "/.postgresql/" + name + "\n"
		}
	}
	if len(steps) == 0 {
		return nil, nil
	}
	change.Summary = "remove key, certificates and services of " + strings.Join(titles, ", ")
	change.Apply = func(context.Context, Doer) ([]transport.Step, error) { return steps, nil }
	return change, nil
}

// copies are the files in ~/.postgresql that are ours, and that no identity of the OS user that stays uses.
func (t *offboardTask) copies(h *Host, st *identityState) []string {
	var out []string
	for _, name := range []string{"client", "postgresql"} {
		crt, key := st.entry(st.Home+"/.postgresql/"+name+".crt"), st.entry(st.Home+"/.postgresql/"+name+".key")
		ours := slices.ContainsFunc(st.Versions, func(v version) bool { return len(v.Key.spki()) > 0 && string(v.Key.spki()) == string(key.spki()) })
		if ours && key.Kind == "file" {
			out = append(out, name+".key")
		}
		if st.sameAs(crt) != nil {
			out = append(out, name+".crt")
		}
	}
	if slices.ContainsFunc(h.Identities, func(id Identity) bool { return id.OSUser == st.ID.OSUser && !t.means(h.Name, id) }) {
		return out
	}
	for _, p := range st.Paths {
		name, own := strings.CutPrefix(p, st.Home+"/.postgresql/")
		e := st.entry(p)
		if own && !strings.Contains(name, "/") && len(e.PEM) > 0 && (string(e.PEM) == string(st.entry(st.Base+"/root.crt").PEM) || string(e.PEM) == string(st.entry(st.Base+"/root.crl").PEM)) {
			out = append(out, name)
		}
	}
	return out
}
