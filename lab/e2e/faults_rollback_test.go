package e2e_test

import (
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/lab"
)

// portGuard is a program such as security software can be: it lets nobody who logged in over SSH reach PostgreSQL while a condition holds. A proof that goes through
// the host's SSH then fails, while the server itself does all that it is told.
const portGuard = `u=$(id -u ops)
ip rule add pref 100 lookup local
ip rule del pref 0
( shut=no
  while :; do
    if grep -q "$1" /etc/pgfleet/15-main/pgfleet.conf; then
      [ $shut = yes ] || ip rule add pref 10 uidrange "$u-$u" to 127.0.0.1 prohibit
      shut=yes
    else
      [ $shut = no ] || ip rule del pref 10
      shut=no
    fi
    sleep 0.01
  done ) </dev/null >/dev/null 2>&1 &
echo $! >/run/guard.pid`

// TestFailedProof has proofs fail on a server. Its files of before come back by themselves, are in force, and are what it starts with.
func TestFailedProof(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 1, Client: 1})
	f.application(t, "db1", "app1")
	f.want(t, 0, nil, "run", shipped, "-t", "authorities,offer,clients")
	state := `cat /etc/pgfleet/15-main/pgfleet.conf ` + hba + ` | sha256sum; openssl s_client -starttls postgres -connect 127.0.0.1:5432 </dev/null 2>/dev/null | sed -n '/-BEGIN/,/-END/p; /^CN = /p; /^No client/p'`
	before := f.sh(t, "db1", state)

	f.sh(t, "db1", portGuard, "^ssl_ca_file")
	f.want(t, 2, []string{"rolled back   db1.example.net", "the files of before are back and proved", "not gone on with: db1.example.net rolled back, and", "a new TLS connection to 127.0.0.1:5432", "1 rolled back"}, "run", shipped)
	if after := f.sh(t, "db1", state); after != before {
		t.Errorf("the server was\n%s\nand is\n%s", before, after)
	}
	f.restarts(t, "db1", "app1")

	// Where even the files of before cannot be proved, that is said.
	f.sh(t, "db1", "kill $(cat /run/guard.pid); u=$(id -u ops); ip rule del pref 10 2>/dev/null || :; ip rule add pref 10 uidrange $u-$u to 127.0.0.1 prohibit")
	out := f.want(t, 2, []string{"db1.example.net", "the files of before are back, but not proved"}, "run", shipped)
	if strings.Contains(out, "1 rolled back") {
		t.Errorf("unproved files count as rolled back:\n%s", out)
	}
	if after := f.sh(t, "db1", state); after != before {
		t.Errorf("the server was\n%s\nand is\n%s", before, after)
	}
	f.restarts(t, "db1", "app1")
	f.sh(t, "db1", "ip rule del pref 10")
	f.finishes(t)
	f.byHand(t, before, state)
}

// byHand rolls a finished server back.
func (f *fleet) byHand(t *testing.T, before, state string) {
	finished := f.sh(t, "db1", state)
	f.want(t, 5, []string{"there is no terminal to ask on", "-y puts the files back"}, "rollback", "db1.example.net")
	f.want(t, 0, []string{"put back the files of 15/main as they were before run", "put back /etc/postgresql/15/main/pg_hba.conf",
		"put back /etc/pgfleet/15-main/pgfleet.conf"}, "rollback", "db1.example.net", "--check")
	if now := f.sh(t, "db1", state); now != finished {
		t.Errorf("a rollback that was only looked at made\n%s\nof\n%s", now, finished)
	}
	f.want(t, 0, []string{"db1.example.net", "put back the files of 15/main as they were before run"}, "rollback", "db1.example.net", "-y")
	if now := f.sh(t, "db1", state); now != before {
		t.Errorf("rolled back, the server is\n%s\nwant\n%s", now, before)
	}
	if err := f.byPassword(t, "db1", "app1"); err != nil {
		t.Errorf("the old way does not work: %v", err)
	}
	f.starts(t, "db1")
	f.finishes(t)
}
