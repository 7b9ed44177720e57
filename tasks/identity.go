package tasks

import (
	_ "embed"
	"fmt"
	"path"
	"strings"
	"time"
	"unicode"

	"github.com/pgfleet/pgfleet/transport"
)

//go:embed identity_probe.sh
var identityProbeProgram string

//go:embed identity_home.sh
var identityHomeProgram string

// identityKey is the view key of one identity's probe.
func identityKey(id Identity) string { return "identity:" + id.OSUser + ":" + id.DBUser }

// identityProbe looks, as the OS user, at everything that one identity has.
func identityProbe(id Identity) transport.Step {
	first, last := blockMarks(id)
	return transport.Step{Key: identityKey(id), User: id.OSUser, Probe: true, Limit: 30 * time.Second,
		Shell: certificateLookProgram + identityProbeProgram, Argv: []string{folderName(id.DBUser), first, last, id.Home}}
}

// identityProbes gives the probes of a client's identities, and those of the servers' names.
func identityProbes(h *Host) []transport.Step {
	var out []transport.Step
	for _, id := range h.Identities {
		out = append(out, identityProbe(id))
	}
	return out
}

// blockMarks are the first and last line of an identity's block in the service file.
func blockMarks(id Identity) (first, last string) {
	return "# BEGIN pgfleet " + id.DBUser, "# END pgfleet " + id.DBUser
}

// folderName is a database user's name as a folder's name: bytes other than letters, digits, _, - and inner dots become %XX.
func folderName(user string) string {
	var b strings.Builder
	for i := 0; i < len(user); i++ {
		c := user[i]
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' && i > 0 || c == '.' && i > 0
		if plain {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// identityState is what one identity has on its host.
type identityState struct {
	*look
	ID Identity
	// Below is pgfleet's folder relative to Home; Base is its path. ServiceFile is the user's.
	Below, Base, ServiceFile string
	// Services are those of our block, by name.
	Services map[string]map[string]string
	Versions []version
	// Current is the version that the block names, nil when none.
	Current *version
}

// stateOf reads an identity's probe. The error is ErrPending when it was not looked at, or ErrRefused where nothing may be written.
func stateOf(h *Host, id Identity) (*identityState, error) {
	result, err := h.View.Get(identityKey(id))
	if err != nil {
		return nil, err
	}
	who := fmt.Sprintf("OS user %s on %s", id.OSUser, h.Name)
	if result.Err != nil {
		return nil, fmt.Errorf("look at the files of %s (does that user exist there?): %w", who, result.Err)
	}
	l, err := parseLook(result.Stdout)
	if err != nil {
		return nil, fmt.Errorf("look at the files of %s: %w", who, err)
	}
	h.View.Foreseen(identityKey(id), l)
	if !path.IsAbs(l.Home) || strings.ContainsFunc(l.Home, unicode.IsControl) {
		return nil, fmt.Errorf("%w: the home directory of %s is %q", ErrRefused, who, l.Home)
	}
	st := &identityState{look: l, ID: id, Below: ".postgresql/pgfleet/" + folderName(id.DBUser), ServiceFile: l.Home + "/.pg_service.conf"}
	st.Base = l.Home + "/" + st.Below
	st.Versions = l.versionsIn(st.Base+"/v", "client")
	st.Services = parseServices(l.Block)
	for _, service := range st.Services {
		if st.Current = st.versionOf(service["sslcert"]); st.Current != nil {
			break
		}
	}
	return st, st.refuse(h)
}

// versionOf gives the version that a certificate's path stands for. A copy in ~/.postgresql stands for the version with the same bytes.
func (st *identityState) versionOf(crt string) *version {
	if v := versionNamed(st.Versions, crt); v != nil {
		return v
	}
	if crt != st.Home+"/.postgresql/client.crt" {
		return nil
	}
	return st.sameAs(st.entry(crt))
}

// sameAs gives the newest version whose certificate file has the same certificates.
func (st *identityState) sameAs(e *entry) *version {
	for i := len(st.Versions) - 1; i >= 0; i-- {
		if v := &st.Versions[i]; len(v.Chain) > 0 && string(e.PEM) == string(v.Crt.PEM) {
			return v
		}
	}
	return nil
}

// refuse names what keeps pgfleet from writing below the home directory: links, strangers' folders, folders open to others.
func (st *identityState) refuse(h *Host) error {
	home := st.entry(st.Home)
	if home.Kind == "link" && home.UID != 0 {
		return fmt.Errorf("%w: %s on %s is a symbolic link that %s made", ErrRefused, st.Home, h.Name, home.Owner)
	}
	if home.Kind == "dir" && home.UID != st.UID {
		return fmt.Errorf("%w: the home directory %s on %s belongs to %s, not to %s, who could write nothing there: %s", ErrRefused, st.Home, h.Name, home.Owner, st.ID.OSUser, st.elsewhere())
	}
	paths := []string{st.Home + "/.postgresql", st.Home + "/.postgresql/pgfleet", st.Base, st.Base + "/v", st.Base + "/root.crt", st.Base + "/root.crl",
		st.Base + "/pgfleet.env", st.ServiceFile}
	for _, p := range st.Paths {
		if strings.HasPrefix(p, st.Base+"/v/") {
			paths = append(paths, p)
		}
	}
	for _, p := range paths {
		if err := refuseEntry(h, st.entry(p), st.UID); err != nil {
			return err
		}
	}
	if st.Markers != "" && st.Markers != "be" {
		first, last := blockMarks(st.ID)
		return fmt.Errorf("%w: %s on %s does not have %q and %q once each, in that order: repair it by hand", ErrRefused, st.ServiceFile, h.Name, first, last)
	}
	return nil
}

// elsewhere says what to do about a home directory where nothing can be kept.
func (st *identityState) elsewhere() string {
	if st.ID.Home != "" {
		return "give it to that user, or let the inventory name a folder that pgfleet is to make (home)"
	}
	return fmt.Sprintf("let the inventory name a folder in its place, which pgfleet makes: {user: %s, home: /var/lib/pgfleet/%s}", st.ID.DBUser, st.ID.OSUser)
}

// homeSteps makes the folder in the place of the home directory where the inventory names one and it is not there. The error is ErrRefused for a home directory that is not there.
func (st *identityState) homeSteps(h *Host) ([]transport.Step, error) {
	switch {
	case st.entry(st.Home).Kind != "absent":
		return nil, nil
	case st.ID.Home == "":
		return nil, fmt.Errorf("%w: the home directory %s of %s on %s is not there: %s", ErrRefused, st.Home, st.ID.OSUser, h.Name, st.elsewhere())
	}
	return []transport.Step{{Key: "folder of " + st.ID.OSUser, Shell: identityHomeProgram, Argv: []string{st.Home, st.ID.OSUser}}}, nil
}

// refuseHomes is ErrRefused where an identity of a client has no home directory to keep its files in.
func refuseHomes(h *Host) error {
	for _, id := range h.Identities {
		st, err := stateOf(h, id)
		if err == nil {
			_, err = st.homeSteps(h)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// refuseEntry gives why nothing may be written at or below e, nil when it may.
func refuseEntry(h *Host, e *entry, uid int) error {
	switch {
	case e.Kind == "absent":
		return nil
	case e.Kind == "link":
		return fmt.Errorf("%w: %s on %s is a symbolic link to %s: nothing is written through it; remove it, or put a file or folder in its place",
			ErrRefused, e.Path, h.Name, e.Link)
	case e.Kind == "unknown":
		return fmt.Errorf("%w: what %s on %s is could not be seen", ErrRefused, e.Path, h.Name)
	case e.Kind == "other":
		return fmt.Errorf("%w: %s on %s is neither a file nor a folder; remove it", ErrRefused, e.Path, h.Name)
	case e.UID != uid:
		return fmt.Errorf("%w: %s on %s belongs to %s: give it to the user whose file it is (chown), or remove it", ErrRefused, e.Path, h.Name, e.Owner)
	case e.Kind == "dir" && e.Mode&0o022 != 0:
		return fmt.Errorf("%w: others may write in %s on %s (mode %04o): chmod go-w it", ErrRefused, e.Path, h.Name, e.Mode)
	}
	return nil
}
