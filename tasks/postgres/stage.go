package postgres

import (
	"slices"
	"strings"
)

// Altered is what StageOf and StageFor give for a block that pgfleet did not write like this.
const Altered = "altered"

// stages from the weakest to the strongest. One weaker line among stronger ones is somebody's change: the strongest counts.
var stages = []string{"permissive", "password", "verify-ca", "verify-full", "cert"}

// StageOf reads from pgfleet's block of a pg_hba.conf what is enforced: the stage ("permissive", "password", "verify-ca", "verify-full",
// "cert") of its admitting lines, and the scope ("declared" or "all"). Without a block, or with one that cannot be read: permissive. A block that admits
// nobody, or by a method that is none of pgfleet's, is Altered.
func StageOf(hba []byte) (stage, scope string) {
	stage, scope = "permissive", "declared"
	block, _, err := SplitBlock(hba)
	if err != nil || len(block) == 0 {
		return stage, scope
	}
	declared := false
	for _, line := range block {
		switch {
		case line == declaredMark:
			declared = true
		case line == "# everybody else":
			declared, scope = true, "all"
		case declared && strings.HasPrefix(line, "hostssl "):
			one := stageOfLine(line)
			if one == Altered {
				return Altered, scope
			}
			if slices.Index(stages, one) > slices.Index(stages, stage) {
				stage = one
			}
		}
	}
	if stage == "permissive" {
		stage = stageOfReplication(block, declared)
	}
	return stage, scope
}

// stageOfReplication tells what a block asks for that lets in nobody but standbys.
func stageOfReplication(block []string, declared bool) string {
	switch {
	case declared || !slices.Contains(block, replicationMark):
		return Altered
	case slices.ContainsFunc(block, func(line string) bool { return strings.HasSuffix(line, " reject") }):
		return "cert"
	}
	return "permissive"
}

// stageOfLine tells what one admitting line asks for.
func stageOfLine(line string) string {
	stage := Altered
	for _, o := range strings.Fields(line) {
		switch o {
		case "cert":
			return "cert"
		case "clientcert=verify-full":
			return "verify-full"
		case "clientcert=verify-ca", "clientcert=1":
			return "verify-ca"
		case "scram-sha-256", "md5", "password":
			stage = "password"
		}
	}
	return stage
}

// StageFor reads from pgfleet's block of a pg_hba.conf what is enforced for one login over TLS; "" when the block does not certainly admit it.
func (rd Reader) StageFor(hba []byte, l Login) string {
	block, _, err := SplitBlock(hba)
	if err != nil || len(block) == 0 {
		return ""
	}
	rules, err := ReadHBA([]byte(strings.Join(block, "\n")+"\n"), rd.Major)
	if err != nil {
		return ""
	}
	l.TLS = true
	deciding := rd.Deciding(rules, l)
	if len(deciding) != 1 || deciding[0] == nil || deciding[0].Method == "reject" {
		return ""
	}
	return stageOfLine(deciding[0].Text)
}

// DatabasesFor gives the databases that pgfleet's block names for a declared user; nil when it names none, or all.
func (rd Reader) DatabasesFor(hba []byte, user string) []string {
	block, _, err := SplitBlock(hba)
	at := slices.Index(block, declaredMark)
	if err != nil || at < 0 {
		return nil
	}
	// Lines that may be his alone: there is one for each client of each other user.
	block = slices.DeleteFunc(slices.Clone(block[at:]), func(line string) bool { return !strings.Contains(line, user) })
	rules, err := ReadHBA([]byte(strings.Join(block, "\n")+"\n"), rd.Major)
	if err != nil {
		return nil
	}
	for _, r := range rules {
		if r.Type != "hostssl" || len(r.Users) != 1 || r.Users[0].Text != user {
			continue
		}
		var out []string
		for _, db := range r.Databases {
			if db.is("all") {
				return nil
			}
			out = append(out, db.Text)
		}
		return out
	}
	return nil
}
