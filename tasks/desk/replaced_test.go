package desk

import (
	"crypto/x509"
	"encoding/pem"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// TestReplaced: a key that one authority has certified, or is asked for, is to be certified by the one that replaces it. Each answer is held against the request at
// the authority that gave it, whichever stands first.
func TestReplaced(t *testing.T) {
	t.Parallel()
	for first, subject := range map[string]string{"asked": "/CN=Company Issuing", "answered": "/CN=Company Issuing 2"} { // the name may be the same
		w := newWorld(t)
		w.authority("ca2", subject, "root", 1)
		next := Party{Authority: pki.Authority{Name: "company2", External: "company2.pem", Desk: filepath.Join(w.dir, "authorities", "company2")}, Chain: []*x509.Certificate{w.cert("ca2.crt"), w.cert("root.crt")}}
		r := w.ask("db1", server())
		ext := pki.ExtensionFile(server())
		w.sign("db1", "ca", ext)
		w.write("old.crt", string(w.read("db1.crt")))
		if first == "answered" {
			if err := must(w.check("old.crt")).Store(w.now); err != nil {
				t.Fatal(err)
			}
		}
		block, _ := pem.Decode(w.read("db1.csr"))
		must(next.desk().Ask(Request{Host: r.Host, Template: r.Template, Made: w.now, CSR: block.Bytes, Public: r.Public}))
		w.sign("db1", "ca2", ext)
		for _, parties := range [][]Party{{w.party, next}, {next, w.party}} {
			check := func(names ...string) (*Intake, error) {
				var files []File
				for _, name := range names {
					files = append(files, File{Name: name, Data: w.read(name)})
				}
				return Check(parties, nil, files, w.now)
			}
			in, err := check("db1.crt")
			if err != nil || len(in.Answers) != 1 || in.Answers[0].Authority != "company2" {
				t.Errorf("%s, beside %s first: %v, %+v", first, parties[0].Name, err, in)
			}
			in, err = check("old.crt")
			if err != nil || first == "answered" && in.Known != 1 || first == "asked" && (len(in.Answers) != 1 || in.Answers[0].Authority != "company") {
				t.Errorf("%s, the older one, beside %s first: %v, %+v", first, parties[0].Name, err, in)
			}
			if in, err = check("db1.crt", "old.crt"); err != nil || len(in.Answers)+in.Known != 2 {
				t.Errorf("%s, both together, beside %s first: %v, %+v", first, parties[0].Name, err, in)
			}
		}
		w.authority("other", "/CN=Other CA", "", 0)
		w.sign("db1", "other", ext)
		if _, err := Check([]Party{w.party, next}, nil, []File{{Name: "db1.crt", Data: w.read("db1.crt")}}, w.now); err == nil || !strings.Contains(err.Error(), "it was issued by CN=Other CA, not by authority company") {
			t.Errorf("%s, of somebody else: %v", first, err)
		}
	}
}
