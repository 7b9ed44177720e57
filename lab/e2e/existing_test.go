package e2e_test

import (
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/lab"
)

// house gives a server TLS as a house would have made it: an authority of its own with a list, a certificate of it, and a role with a certificate of it, whom
// a rule of pg_hba.conf wants it from. It prints the role's files.
const house = `mkdir /etc/house && cd /etc/house
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=house -days 90 -keyout ca.key -out ca.crt -addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign,cRLSign
touch index.txt; echo 01 >crlnumber
printf '[ca]\ndefault_ca = d\n[d]\ndatabase = index.txt\ncrlnumber = crlnumber\ndefault_md = sha256\ndefault_crl_days = 60\n' >ca.cnf
openssl ca -config ca.cnf -gencrl -cert ca.crt -keyfile ca.key -out ca.crl
for of in "$1" legacy; do
  openssl req -newkey rsa:2048 -nodes -subj "/CN=$of" -keyout "$of.key" -out "$of.csr"
  openssl x509 -req -in "$of.csr" -CA ca.crt -CAkey ca.key -set_serial "$(openssl rand 8 | od -An -tu8 | tr -d ' ')" -days 60 -out "$of.crt"
done
chown postgres "$1.key"
cd /etc/postgresql/15/main
printf "ssl = on\nssl_cert_file = '/etc/house/$1.crt'\nssl_key_file = '/etc/house/$1.key'\nssl_ca_file = '/etc/house/ca.crt'\nssl_crl_file = '/etc/house/ca.crl'\n" >>postgresql.conf
sed -i '1i hostssl all legacy all cert' pg_hba.conf
runuser -u postgres -- ` + psqlPath + ` -qc 'create role legacy login'
pg_ctlcluster 15 main restart -m fast`

// TestExisting sets up mutual TLS where there is some already: nothing of it is touched unasked, and the house's own users come in as long as its authority is to stay.
func TestExisting(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 1, Client: 1})
	f.sh(t, "db1", "exec 2>&1 >/dev/null; "+house, "db1.example.net")
	pair := f.sh(t, "db1", "cat /etc/house/legacy.crt /etc/house/legacy.key")
	f.sh(t, "app1", `install -o postgres -m 600 /dev/null /tmp/legacy.pem; printf '%s\n' "$1" >/tmp/legacy.pem`, pair)
	legacy := func() error {
		_, err := f.psql(t, "app1", "host="+f.addr(t, "db1")+" dbname=postgres user=legacy sslmode=require sslcert=/tmp/legacy.pem sslkey=/tmp/legacy.pem", "select 1")
		return err
	}
	if err := legacy(); err != nil {
		t.Fatal(err)
	}

	const files = "cd /etc/postgresql/15/main && sha256sum postgresql.conf pg_hba.conf; ls /etc/pgfleet/15-main/pgfleet.conf 2>/dev/null || :"
	before := f.sh(t, "db1", files)
	f.want(t, 2, []string{"/etc/house/ca.crt", "-e existing_trust=overlap"}, "run", shipped)
	if now := f.sh(t, "db1", files); now != before {
		t.Errorf("the server's files were\n%s\nand are\n%s", before, now)
	}

	f.want(t, 2, []string{"/etc/house/db1.example.net.crt", "-e existing_certificate=replace"}, "run", shipped, "-e", "existing_trust=overlap")

	// The house's user is not in the inventory: its rule has to be declared, too.
	rule := `exceptions:=["hostssl all legacy all cert"]`
	both := []string{"-e", "existing_certificate=replace", "-e", "existing_trust=overlap"}
	f.want(t, 2, []string{"these would be refused and are not declared", "role legacy"}, append([]string{"run", shipped}, both...)...)
	if err := legacy(); err != nil {
		t.Errorf("before its rule was declared: %v", err)
	}
	f.finishes(t, append([]string{"-e", rule}, both...)...)
	if err := legacy(); err != nil {
		t.Errorf("overlap: %v", err)
	}
	// Its list ends: ours are revoked all the same. (The file in force is made to be what it would be by then.)
	const list = "cd /etc/house && exec 2>&1 >/dev/null; openssl ca -config ca.cnf -cert ca.crt -keyfile ca.key "
	f.sh(t, "db1", list+`-gencrl -out ca.crl -crlsec 1 && cd /etc/pgfleet/15-main && {
  awk '/BEGIN/ { n++ } n == 1' crl-*.pem && cat /etc/house/ca.crl; } >/tmp/lists && cat /tmp/lists >"$(echo crl-*.pem)" && sleep 2 && pg_ctlcluster 15 main reload`)
	f.want(t, 2, []string{"bring its newest list to /etc/house/ca.crl"}, "run", "crl")
	f.want(t, 0, []string{"bring newer lists to cluster 15/main"}, "revoke", "--name", "dbuser1", "-y")
	// The house goes on to revoke in its own file.
	f.sh(t, "db1", list+"-revoke legacy.crt && openssl ca -config ca.cnf -cert ca.crt -keyfile ca.key -gencrl -out ca.crl")
	f.want(t, 0, []string{"bring newer lists to cluster 15/main"}, "run", "crl")
	if err := legacy(); err == nil || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("revoked by the house: %v", err)
	}
	f.finishes(t, append([]string{"-e", rule}, both...)...)
	f.want(t, 2, []string{"believes authority house", "-e existing_trust=overlap"}, "run", shipped, "-e", rule)
	f.finishes(t, "-e", "existing_trust=replace", "-e", rule)
	if err := legacy(); err == nil || !strings.Contains(err.Error(), "unknown ca") {
		t.Errorf("replace: %v", err)
	}
	f.finishes(t, "-e", rule)
}

// TestExistingReplaced goes from the house's authority to ours at once: no application of ours is kept out by the server's asking for the house's certificates.
func TestExistingReplaced(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 1, Client: 1})
	f.sh(t, "db1", "exec 2>&1 >/dev/null; "+house, "db1.example.net")
	f.finishes(t, "-e", "existing_certificate=replace", "-e", "existing_trust=replace", "--accept-refusals")
}
