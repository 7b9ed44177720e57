package tasks

import (
	"strings"
	"testing"
)

// Whoever owns a folder may plant links in it. Root follows none of them, for reading or for writing.
func TestHostileLinks(t *testing.T) {
	p := newPGHost(t)
	p.WriteFile("/root/secret", "for root only\n", 0o600)
	p.WriteFile("/etc/important", "root's own\n", 0o644)
	const hba = "/etc/postgresql/15/main/pg_hba.conf"

	// Reading: a link to what only root may read shows nothing of it.
	p.Shell(`mv "$1" "$1.was"; chmod 711 /root; ln -s /root/secret "$1"`, hba)
	if c := p.cluster("15/main"); strings.Contains(string(c.HBA), "root only") || c.Problem == "" {
		t.Fatalf("%q %q", c.HBA, c.Problem)
	}
	p.Shell(`mv -f "$1.was" "$1"`, hba)

	// Writing: the links lead to files of root's; nothing arrives there, and owners and modes stay.
	state := func() string { return p.Shell("stat -c '%n %U:%G %a %s' /etc/important /root/secret /etc/passwd") }
	before := state()
	for _, plant := range []string{
		`ln -s /etc/important "$1.pgfleet-new"`,
		`ln -s /etc/important /etc/postgresql/15/main/postgresql.conf.pgfleet-new`,
		`ln -s /etc/important /etc/postgresql/15/main/postgresql.conf.pgfleet-check`,
		`ln -s /etc/important /etc/postgresql/15/main/postgresql.conf.pgfleet-check.pgfleet-new`,
	} {
		p.Shell(`runuser -u postgres -- sh -c "$2" sh "$1"`, hba, plant)
	}
	p.must(true, settingsTask(map[string]string{"work_mem": "9MB"}))
	p.must(true, &postgresIdent{Lines: []string{"a b c"}})
	if after := state(); after != before {
		t.Fatalf("before\n%s\nafter\n%s", before, after)
	}
	p.Shell(`cp /etc/postgresql/15/main/pg_ident.conf /etc/ident-of-root; chmod 644 /etc/ident-of-root
		rm /etc/postgresql/15/main/pg_ident.conf; runuser -u postgres -- ln -s /etc/ident-of-root /etc/postgresql/15/main/pg_ident.conf`)
	was := p.ReadFile("/etc/ident-of-root")
	if err := p.run(&postgresIdent{Lines: []string{"d e f"}}); err == nil {
		t.Error("a file of root's was changed through a link that postgres planted")
	} else {
		t.Log(err)
	}
	if p.ReadFile("/etc/ident-of-root") != was {
		t.Error("a file of root's was written")
	}
}
