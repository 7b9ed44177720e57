package tasks

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/postgres"
)

// summary is one line for the user.
func (w *hbaWork) summary(t *postgresHBA) string {
	stage, _ := postgres.StageOf([]byte(w.before))
	text := fmt.Sprintf("cluster %s: ", w.c.ID)
	if t.Only == "replication" {
		return text + "let declared standbys in by certificate"
	}
	switch stage {
	case t.Enforce:
		text += "change the rules of stage " + stage
	case postgres.Altered:
		text += "rules that were changed by hand become those of stage " + t.Enforce
	default:
		text += "stage " + stage + " becomes " + t.Enforce
	}
	if t.Enforce != "permissive" && t.Scope == "all" {
		text += " for everybody"
	}
	if len(w.unproved) > 0 && w.h.Fleet.CheckOnly {
		text += ", once these clients have connected with verify-full: " + strings.Join(w.unproved, ", ")
	}
	return text
}

// secretOption is an option of pg_hba.conf whose value is a password.
var secretOption = regexp.MustCompile(`(?i)(ldapbindpasswd|radiussecrets|oauth_client_secret)=("(?:[^"]|"")*"|\S+)`)

// diff shows what changes of the block, and the user's rules that lose their effect.
func (w *hbaWork) diff() string {
	text := diffText(w.c.HBAFile, string(postgres.JoinBlock(w.was, nil)), string(postgres.JoinBlock(w.lines, nil)))
	if dead := w.block.Dead(w.rules); len(dead) > 0 {
		text += "your rules below the block that lose their effect:\n"
		for _, r := range dead {
			text += "  " + r.Text + "\n"
		}
	}
	return secretOption.ReplaceAllString(text, "$1=(hidden)")
}

// managed is the refusal to edit what Patroni writes. pgfleet's marks are part of what is to be applied: by them it knows its block again.
func (w *hbaWork) managed() error {
	lines := strings.Split(strings.TrimRight(string(postgres.JoinBlock(w.lines, nil)), "\n"), "\n")
	var b strings.Builder
	b.WriteString("postgresql:\n  pg_hba:\n")
	for _, line := range append(lines, rulesOf(string(w.user))...) {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			fmt.Fprintf(&b, "  - '%s'\n", strings.ReplaceAll(line, "'", "''"))
		}
	}
	how, shown := "apply this where postgresql.pg_hba stands today (patronictl edit-config, or Patroni's own file on each host and patronictl reload)", secretOption.ReplaceAllString(b.String(), "$1=(hidden)")
	if shown != b.String() {
		how += ", with your passwords in place of (hidden)"
	}
	return &managedError{w.c.HBAFile, w.c.Managed, how, shown}
}
