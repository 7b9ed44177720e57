package desk

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// world is an authority elsewhere, kept with nothing but openssl, and the desk on which it is asked.
type world struct {
	t   testing.TB
	dir string
	now time.Time
	Desk
	party Party
	n     int
}

// newWorld makes a root called CN=Company Root, and an intermediate CN=Company Issuing below it, which signs.
func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), now: time.Now()}
	w.Desk = Desk{filepath.Join(w.dir, "authorities", "company")}
	w.authority("root", "/CN=Company Root", "", 2)
	w.authority("ca", "/CN=Company Issuing", "root", 1)
	w.party = Party{Authority: pki.Authority{Name: "company", External: "company.pem", Desk: w.Desk.Dir}, Chain: []*x509.Certificate{w.cert("ca.crt"), w.cert("root.crt")}}
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(name, text string) string {
	w.t.Helper()
	if err := os.WriteFile(w.path(name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return w.path(name)
}

func (w *world) read(name string) []byte {
	w.t.Helper()
	data, err := os.ReadFile(w.path(name))
	if err != nil {
		w.t.Fatal(err)
	}
	return data
}

func (w *world) cert(name string) *x509.Certificate {
	w.t.Helper()
	certs, err := pki.ParseCertificates(w.read(name))
	if err != nil {
		w.t.Fatal(err)
	}
	return certs[0]
}

// openssl runs openssl in the folder.
func (w *world) openssl(args ...string) {
	w.t.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Dir = w.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// key makes NAME.key and a request NAME.csr for a template.
func (w *world) key(name string, t pki.Template) {
	w.t.Helper()
	w.write(name+".cnf", pki.RequestConfig(t))
	w.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", name+".key", "-out", name+".csr", "-config", name+".cnf")
}

// sign makes NAME.crt from NAME.csr by an authority, "": by itself.
func (w *world) sign(name, by, ext string, args ...string) {
	w.t.Helper()
	w.n++
	w.write(name+".ext", ext)
	line := []string{"x509", "-req", "-in", name + ".csr", "-out", name + ".crt", "-extfile", name + ".ext", "-sha256"}
	if by == "" {
		line = append(line, "-signkey", name+".key")
	} else {
		line = append(line, "-CA", by+".crt", "-CAkey", by+".key", "-set_serial", fmt.Sprint(1000+w.n))
	}
	if len(args) == 0 {
		args = []string{"-days", "365"}
	}
	w.openssl(append(line, args...)...)
}

func (w *world) authority(name, subject, by string, pathLen int) {
	w.t.Helper()
	t := pki.Template{Profile: pki.ProfileCA, Subject: pkix.Name{CommonName: strings.TrimPrefix(subject, "/CN=")}, MaxPathLen: pathLen, ValidFor: 3650 * 24 * time.Hour}
	w.key(name, t)
	w.sign(name, by, pki.ExtensionFile(t), "-days", "3650")
}

// ask puts a request on the desk and gives its name in the world.
func (w *world) ask(name string, t pki.Template) *Request {
	w.t.Helper()
	w.key(name, t)
	block, _ := pem.Decode(w.read(name + ".csr"))
	pub, err := pki.CheckCSR(block.Bytes)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := w.Ask(Request{Host: name + ".example.net", Template: t, Made: w.now, CSR: block.Bytes, Public: pub})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// list makes NAME.crl, signed by an authority; lines are those of index.txt.
func (w *world) list(name, by string, number int, life string, index ...string) {
	w.t.Helper()
	w.write("index.txt", strings.Join(index, ""))
	w.write("crlnumber", fmt.Sprintf("%04X\n", number))
	w.write("crl.cnf", "[ca]\ndefault_ca = d\n[d]\ndatabase = index.txt\ncrlnumber = crlnumber\ndefault_md = sha256\ncrl_extensions = e\n[e]\nauthorityKeyIdentifier = keyid\n")
	w.openssl(append([]string{"ca", "-gencrl", "-config", "crl.cnf", "-cert", by + ".crt", "-keyfile", by + ".key", "-out", name + ".crl"}, strings.Fields(life)...)...)
}

// revoked is a line of index.txt.
func revoked(serial string) string {
	return "R\t350101000000Z\t260101000000Z,keyCompromise\t" + serial + "\tunknown\t/CN=x\n"
}

// check hands files in.
func (w *world) check(names ...string) (*Intake, error) {
	w.t.Helper()
	var files []File
	for _, n := range names {
		files = append(files, File{n, w.read(n)})
	}
	p := w.party
	lists, err := w.Lists()
	if err != nil {
		w.t.Fatal(err)
	}
	p.Known = append(p.Known, lists...)
	return Check([]Party{p}, []pki.Template{server()}, files, w.now)
}

func server() pki.Template {
	return pki.Template{Profile: pki.ProfileServer, Subject: pkix.Name{CommonName: "db1.example.net"}, DNSNames: []string{"db1.example.net", "db.example.net"},
		IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1).To4()}, ValidFor: 365 * 24 * time.Hour}
}

func client() pki.Template {
	return pki.Template{Profile: pki.ProfileClient, Subject: pkix.Name{CommonName: "dbuser1"}, ValidFor: 365 * 24 * time.Hour}
}

func sub() pki.Template {
	return pki.Template{Profile: pki.ProfileCA, Subject: pkix.Name{CommonName: "clients", Organization: []string{`Example, "E" / + \ $x #`}}, ValidFor: 1825 * 24 * time.Hour, MaxPathLen: 0}
}
