package tasks

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

// What has to follow when an identity's certificate has changed: its further files, and the application, which may have read the old one long ago.

//go:embed identity_p12.sh
var identityP12Program string

//go:embed identity_pem.sh
var identityPEMProgram string

// replicationFile has key and certificate in one, for primary_conninfo.
const replicationFile = "replication.pem"

// afterLimit is how long after_change of an identity may take.
const afterLimit = 5 * time.Minute

// mark is the file that says that after_change has not run since the certificate changed. It is there before the switch, and goes when the command
// has ended well: a run that is stopped in between leaves it to the next one.
func (w *clientWork) mark() string { return w.st.Base + "/changed" }

// markStep writes the mark where something is to run.
func (w *clientWork) markStep() []transport.Step {
	if w.plan.Why == "" || w.st.ID.AfterChange == nil {
		return nil
	}
	return []transport.Step{writeStep(w.st.ID.OSUser, w.mark(), 0o600, []byte(w.plan.Gen+"\n"))}
}

// toRun tells whether after_change is to run at the end.
func (w *clientWork) toRun() bool {
	return w.st.ID.AfterChange != nil && (w.plan.Why != "" || w.st.entry(w.mark()).Kind == "file")
}

// leftUndone lists what a run that was stopped has not done since the certificate changed.
func (w *clientWork) leftUndone() []string {
	var out []string
	for _, file := range w.st.further() {
		if !w.st.made(file, w.plan.Current) {
			out = append(out, w.st.Base+"/"+file)
		}
	}
	if w.toRun() {
		out = append(out, w.st.ID.AfterChange.String()+" has not run since the certificate changed")
	}
	return out
}

// further lists the files that an identity has besides key and certificate.
func (st *identityState) further() []string {
	var out []string
	if st.ID.P12 {
		out = append(out, "client.p12")
	}
	if st.ID.Replication {
		out = append(out, replicationFile)
	}
	return out
}

// made tells whether a further file is the one of a version: a copy with the times of the one in its folder.
func (st *identityState) made(file string, v *version) bool {
	is, of := st.entry(st.Base+"/"+file), st.entry(v.Dir+"/"+file)
	return is.Kind == "file" && of.Kind == "file" && is.Size == of.Size && is.ModTime.Equal(of.ModTime) && is.Mode&0o077 == 0
}

// furtherSteps make the further files of the version that is in force now.
func (w *clientWork) furtherSteps() []transport.Step {
	programs := map[string]string{"client.p12": identityP12Program, replicationFile: identityPEMProgram}
	var out []transport.Step
	for _, file := range w.st.further() {
		out = append(out, transport.Step{Key: file + " of " + w.plan.Title, User: w.st.ID.OSUser, Shell: certificateCheckProgram + programs[file],
			Argv: []string{w.st.Base, w.plan.Gen}})
	}
	return out
}

// afterSteps run what has to learn of new certificates, each command once, and take the marks away.
func afterSteps(work []*clientWork) []transport.Step {
	var commands, unmark []transport.Step
	var done []string
	for _, w := range work {
		if !w.toRun() {
			continue
		}
		c := w.st.ID.AfterChange
		if !slices.Contains(done, c.String()) {
			done = append(done, c.String())
			commands = append(commands, transport.Step{Key: "after_change of " + w.plan.Title + " (" + c.String() + ")", User: c.User, Limit: afterLimit, Argv: c.Argv})
		}
		unmark = append(unmark, transport.Step{Key: "note after_change of " + w.plan.Title, User: w.st.ID.OSUser, Argv: []string{"rm", "-f", "--", w.mark()}})
	}
	return append(commands, unmark...)
}

// diffAfter says what follows the change.
func (w *clientWork) diffAfter() string {
	if w.st.ID.AfterChange == nil {
		return ""
	}
	return "+ then:        " + w.st.ID.AfterChange.String() + "\n"
}

// String gives the words and who runs them: "systemctl reload app as root".
func (c *Command) String() string {
	user := c.User
	if user == "" {
		user = "root"
	}
	return fmt.Sprintf("%s as %s", strings.Join(c.Argv, " "), user)
}
