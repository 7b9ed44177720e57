package postgres

import "strings"

// StageOf reads from pgfleet's block of a pg_hba.conf what is enforced: the stage ("permissive", "password", "verify-ca", "verify-full",
// "cert") of its admitting lines, and the scope ("declared" or "all"). Without a block, or with one that cannot be read: permissive.
func StageOf(hba []byte) (stage, scope string) {
	stage, scope = "permissive", "declared"
	block, _, err := SplitBlock(hba)
	if err != nil {
		return stage, scope
	}
	declared := false
	for _, line := range block {
		switch {
		case line == "# declared identities, from their clients only":
			declared = true
		case line == "# everybody else":
			declared, scope = true, "all"
		case declared && strings.HasPrefix(line, "hostssl "):
			stage = stageOfLine(line)
		}
	}
	return stage, scope
}

// stageOfLine tells what one admitting line asks for.
func stageOfLine(line string) string {
	options := strings.Fields(line)
	for _, o := range options {
		switch o {
		case "cert":
			return "cert"
		case "clientcert=verify-full":
			return "verify-full"
		case "clientcert=verify-ca", "clientcert=1":
			return "verify-ca"
		}
	}
	return "password"
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
