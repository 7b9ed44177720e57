package tasks

import "testing"

// Lists on a client that believes others beside ours, in libpq's default files: without one of theirs, it would reach none of their servers any more.
func TestTrustTheirsWithoutList(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5432)
	w.client.Identities = []Identity{{OSUser: "app", DBUser: "dbuser1", Default: true}}
	w.sb.Shell(`cd /home/app && su app -c 'mkdir -p .postgresql && openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=house -keyout /dev/null -out .postgresql/root.crt 2>/dev/null'`)
	trust := func(crl any) Task {
		return task(t, "trust", map[string]any{"authorities": []any{"servers"}, "crl": crl, "existing": "overlap"})
	}
	w.must(w.client, trust(false), true)
	w.refused(w.client, trust(true), "no list of revoked certificates is known of house", "declare that authority in the inventory")
	w.must(w.client, trust(false), false)
}
