package e2e_test

import (
	"os"
	"path/filepath"
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

// houseList is what the house makes a list with.
const houseList = "cd /etc/house && exec 2>&1 >/dev/null; openssl ca -config ca.cnf -cert ca.crt -keyfile ca.key "

// house gives db1 TLS of its own by a program, and gives the login of the house's user on app1.
func (f *fleet) house(t *testing.T, program string) (legacy func() error) {
	t.Helper()
	f.sh(t, "db1", "exec 2>&1 >/dev/null; "+program, "db1.example.net")
	pair := f.sh(t, "db1", "cat /etc/house/legacy.crt /etc/house/legacy.key")
	f.sh(t, "app1", `install -o postgres -m 600 /dev/null /tmp/legacy.pem; printf '%s\n' "$1" >/tmp/legacy.pem`, pair)
	legacy = func() error {
		_, err := f.psql(t, "app1", "host="+f.addr(t, "db1")+" dbname=postgres user=legacy sslmode=require sslcert=/tmp/legacy.pem sslkey=/tmp/legacy.pem", "select 1")
		return err
	}
	if err := legacy(); err != nil {
		t.Fatal(err)
	}
	return legacy
}

// rule is that of the house's user, who is not in the inventory.
const rule = `exceptions:=["hostssl all legacy all cert"]`

// TestExisting sets up mutual TLS where there is some already: nothing of it is touched unasked, and the house's own users come in as long as its authority is to stay.
func TestExisting(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 1, Client: 1})
	legacy := f.house(t, house)
	// A second cluster, of which nobody asked anything before.
	f.sh(t, "db1", `exec 2>&1 >/dev/null; pg_createcluster 15 two -p 5433; echo "listen_addresses = '*'" >>/etc/postgresql/15/two/postgresql.conf; pg_ctlcluster 15 two start`)

	const files = "cd /etc/postgresql/15/main && sha256sum postgresql.conf pg_hba.conf; ls /etc/pgfleet/15-main/pgfleet.conf 2>/dev/null || :"
	before := f.sh(t, "db1", files)
	f.want(t, 2, []string{"/etc/house/ca.crt", "-e existing_trust=overlap"}, "run", shipped)
	if now := f.sh(t, "db1", files); now != before {
		t.Errorf("the server's files were\n%s\nand are\n%s", before, now)
	}

	f.want(t, 2, []string{"/etc/house/db1.example.net.crt", "-e existing_certificate=replace"}, "run", shipped, "-e", "existing_trust=overlap")

	// The house's user is not in the inventory: its rule has to be declared, too.
	both := []string{"-e", "existing_certificate=replace", "-e", "existing_trust=overlap"}
	f.want(t, 2, []string{"these would be refused and are not declared", "role legacy"}, append([]string{"run", shipped}, both...)...)
	if err := legacy(); err != nil {
		t.Errorf("before its rule was declared: %v", err)
	}
	f.finishes(t, append([]string{"-e", rule}, both...)...)
	if err := legacy(); err != nil {
		t.Errorf("overlap: %v", err)
	}
	if got := f.sh(t, "db1", "cd /etc/pgfleet && cat 15-main/trust-* | grep -c BEGIN; cat 15-two/trust-* | grep -c BEGIN"); got != "2\n1" {
		t.Errorf("authorities believed by main and by two: %s", got)
	}
	f.want(t, 0, nil, "rotate")

	// Its list ends: that is said, with what helps, and ours are revoked all the same. (The file in force is made to be what it would be by then.)
	f.sh(t, "db1", houseList+`-gencrl -out ca.crl -crlsec 1 && cd /etc/pgfleet/15-main && {
  awk '/BEGIN/ { n++ } n == 1' crl-*.pem && cat /etc/house/ca.crl; } >/tmp/lists && cat /tmp/lists >"$(echo crl-*.pem)" && sleep 2 && pg_ctlcluster 15 main reload`)
	over := []string{"every client with a certificate below CN=house is refused", "hint: bring its newest list to /etc/house/ca.crl on db1.example.net, then: pgfleet run crl -l db1.example.net"}
	f.want(t, 0, over, "certs")
	f.want(t, 8, over, "rotate")
	f.want(t, 8, over, "run", "crl")
	f.want(t, 0, []string{"bring newer lists to cluster 15/", ", cluster 15/"}, "revoke", "--name", "dbuser1", "-y")
	if err := legacy(); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("the house's list has ended: %v", err)
	}
	f.sh(t, "db1", houseList+"-gencrl -out ca.crl")
	f.want(t, 0, []string{"bring newer lists to cluster 15/main"}, "run", "crl", "-l", "db1.example.net")
	if err := legacy(); err != nil {
		t.Errorf("after its newest list was brought: %v", err)
	}
	f.want(t, 0, nil, "rotate")

	// The house goes on to revoke in its own file.
	f.sh(t, "db1", houseList+"-revoke legacy.crt && openssl ca -config ca.cnf -cert ca.crt -keyfile ca.key -gencrl -out ca.crl")
	f.want(t, 8, []string{"/etc/house/ca.crl has 4 since; it lacks the revoked", "hint: pgfleet run crl -l db1.example.net brings it into force"}, "certs", "--fail-within", "1d")
	f.want(t, 0, []string{"bring newer lists to cluster 15/main"}, "run", "crl", "-l", "db1.example.net")
	if err := legacy(); err == nil || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("revoked by the house: %v", err)
	}

	// Lists that cannot come into force in one cluster keep no other from getting them.
	f.sql(t, "db1", "alter system set ssl_crl_file = '/etc/house/ca.crl'")
	const number = `openssl crl -noout -crlnumber -in "$(sed -n "s/^ssl_crl_file = '\(.*\)'/\1/p" /etc/pgfleet/15-two/pgfleet.conf)"`
	before = f.sh(t, "db1", number)
	f.want(t, 2, []string{"ssl_crl_file"}, "run", "crl", "-e", "list=new")
	if now := f.sh(t, "db1", number); now <= before {
		t.Errorf("15/two has list %s, after %s", now, before)
	}
	f.sql(t, "db1", "alter system reset ssl_crl_file")
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

// TestExistingKept leaves the house's authority alone in force, in its own file: it has to be the one that signs for our clients. What it has revoked comes into force by its own
// file there, and where its list has ended, the server's certificate is renewed all the same.
func TestExistingKept(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 1, Client: 1})
	legacy := f.house(t, house)
	keep := []string{"run", shipped, "-e", "existing_certificate=replace", "-e", "existing_trust=keep", "-e", rule}
	f.want(t, 2, []string{"is to keep the authorities in /etc/house/ca.crt alone, and root-ca1 is not among them", "-e existing_trust=overlap"}, keep...)

	f = f.with(t, "  clients:      {host: ca1.example.net, subject: \"CN=root-ca1\", valid_for: 3650d}",
		"  clients:      {external: house.pem, crl: house.crl}\n  idle:         {host: ca1.example.net, subject: \"CN=idle\"}")
	home := filepath.Dir(f.inventory)
	bring := func(from, to string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(home, to), []byte(f.sh(t, "db1", "cat /etc/house/"+from)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bring("ca.crt", "house.pem")
	bring("ca.crl", "house.crl")
	if out := f.want(t, 0, nil, "certs", "-o", "jsonl"); !strings.Contains(out, `"kind":"list","path":"`+home+`/house.crl"`) {
		t.Errorf("certs does not show the list that nobody believes yet:\n%s", out)
	}
	f.want(t, 7, nil, keep...)
	asked := files(t, home, "authorities/clients/requests/*.csr")
	csr, err := os.ReadFile(asked[0])
	if err != nil {
		t.Fatal(err)
	}
	const sign = `cd /etc/house; printf '%s\n' "$1" >r.csr; printf 'extendedKeyUsage=clientAuth\nkeyUsage=digitalSignature\nbasicConstraints=CA:FALSE\n' >r.ext
openssl x509 -req -in r.csr -CA ca.crt -CAkey ca.key -set_serial 0x00c0ffee00c0ffee -days 60 -extfile r.ext -out r.crt`
	f.sh(t, "db1", sign, string(csr))
	bring("r.crt", "answer.crt")
	f.answer(t, 0, nil, filepath.Join(home, "answer.crt"))
	f.finishes(t, keep[2:]...)
	if err := legacy(); err != nil {
		t.Errorf("keep: %v", err)
	}
	f.want(t, 0, nil, "rotate")

	revoke := []string{"revoke", "--serial", "C0FFEE00C0FFEE", "-y"}
	f.want(t, 7, nil, revoke...)
	f.sh(t, "db1", houseList+"-revoke r.crt && openssl ca -config ca.cnf -cert ca.crt -keyfile ca.key -gencrl -out new.crl")
	bring("new.crl", "house.crl")
	f.want(t, 2, []string{"bring the newest list to /etc/house/ca.crl there, then: pgfleet task postgres_reload -l db1.example.net"}, revoke...)
	f.sh(t, "db1", "cp /etc/house/new.crl /etc/house/ca.crl")
	f.want(t, 0, []string{"ca.crl is newer than the last reload"}, revoke...)
	_, err = f.psql(t, "app1", "service=dbuser1@db1 dbname=postgres", "select 1")
	if err == nil || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("revoked by the house: %v", err)
	}

	f.sh(t, "db1", houseList+"-gencrl -out ca.crl -crlsec 1 && sleep 2 && pg_ctlcluster 15 main reload")
	f.want(t, 8, []string{"renew certificate of cluster 15/main", "bring its newest list to /etc/house/ca.crl on db1.example.net, then: pgfleet task postgres_reload -l db1.example.net"},
		"rotate", "--force", "-l", "db1.example.net")
	f.sh(t, "db1", houseList+"-gencrl -out ca.crl")
	f.want(t, 0, nil, "task", "postgres_reload", "-l", "db1.example.net")
	if err := legacy(); err != nil {
		t.Errorf("after the house's newest list was brought: %v", err)
	}
}

// TestExistingPlaces has ours and the house's in the data directory: not where the house goes on to write.
func TestExistingPlaces(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 1, Client: 1})
	legacy := f.house(t, house+`
cp /etc/house/ca.crl /var/lib/postgresql/15/main/ca.crl && chown postgres /var/lib/postgresql/15/main/ca.crl
sed -i "s#/etc/house/ca.crl#ca.crl#" postgresql.conf && pg_ctlcluster 15 main reload`)
	places := []string{"-e", "server_places=data", "-e", "client_places=home", "-e", "existing_certificate=replace", "-e", "existing_trust=overlap", "-e", rule}
	f.want(t, 2, []string{"is to have its lists in /var/lib/postgresql/15/main/ca.crl, where others keep theirs", "-e server_places=own"}, append([]string{"run", shipped}, places...)...)
	f.sh(t, "db1", `rm /var/lib/postgresql/15/main/ca.crl; sed -i "s#'ca.crl'#'/etc/house/ca.crl'#" /etc/postgresql/15/main/postgresql.conf; pg_ctlcluster 15 main reload`)
	f.finishes(t, places...)
	if err := legacy(); err != nil {
		t.Errorf("overlap: %v", err)
	}
	f.want(t, 0, nil, "rotate")
	f.sh(t, "db1", houseList+"-revoke legacy.crt && openssl ca -config ca.cnf -cert ca.crt -keyfile ca.key -gencrl -out ca.crl")
	f.want(t, 0, []string{"bring newer lists to cluster 15/main"}, "run", "crl")
	f.want(t, 0, []string{"bring newer lists to cluster 15/main"}, "revoke", "--name", "dbuser1", "-y")
	f.want(t, 0, []string{"kept as it is now: ssl_crl_file"}, "rollback", "db1.example.net", "-y")
	if err := legacy(); err == nil || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("revoked by the house: %v", err)
	}
	f.finishes(t, places...)
}
