package desk

import (
	"crypto/x509"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// TestAnswer: what openssl made from the request that was written, with the extensions that were written, is taken in, once, with the chain beside it or in PKCS#7.
func TestAnswer(t *testing.T) {
	t.Parallel()
	for name, template := range map[string]pki.Template{"server": server(), "client": client(), "sub": sub()} {
		w := newWorld(t)
		r := w.ask(name, template)
		w.write(name+".csr", string(must(os.ReadFile(r.File)))) // the file as it is handed out
		w.sign(name, "ca", pki.ExtensionFile(template))
		w.write("bundle.pem", string(w.read(name+".crt"))+string(w.read("ca.crt"))+string(w.read("root.crt")))
		w.openssl("crl2pkcs7", "-nocrl", "-certfile", "bundle.pem", "-out", "bundle.p7")
		for _, file := range []string{name + ".crt", "bundle.pem", "bundle.p7"} {
			in, err := w.check(file)
			if err != nil || len(in.Answers) != 1 || in.Answers[0].Request.Title() != Title(template, name+".example.net") {
				t.Fatalf("%s %s: %v, %+v", name, file, err, in)
			}
		}
		in := must(w.check("bundle.p7", name+".crt")) // the same twice is one
		if err := in.Store(w.now); err != nil || len(in.Answers) != 1 {
			t.Fatal(err, len(in.Answers))
		}
		if left := must(w.Requests()); len(left) != 0 {
			t.Errorf("%s: still waiting: %v", name, left)
		}
		again := must(w.check(name + ".crt"))
		if len(again.Answers) != 0 || again.Known != 1 {
			t.Errorf("%s: handed in again: %+v", name, again)
		}
		issued := must(w.Issued(r.Public))
		if len(issued) != 1 || !issued[0].Cert.Equal(w.cert(name+".crt")) || !issued[0].Wants(template) || issued[0].Host != name+".example.net" {
			t.Errorf("%s: on the desk: %+v", name, issued)
		}
		w.ask(name, template) // a new key: the old answer is none
		if _, err := w.check(name + ".crt"); err != nil {
			t.Error(err)
		}
	}
}

// TestOrganization: an authority may add to the subject of a leaf, and leave out addresses as text.
func TestOrganization(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ask("db1", server())
	w.openssl("req", "-new", "-key", "db1.key", "-subj", "/C=DE/O=Company/CN=db.example.net", "-out", "db1.csr", "-config", "db1.cnf")
	w.sign("db1", "ca", "extendedKeyUsage = serverAuth\nsubjectAltName = DNS:DB1.example.net, DNS:db.example.net, IP:10.0.0.1\n", "-days", "90")
	if in, err := w.check("db1.crt"); err != nil || len(in.Answers) != 1 {
		t.Error(err)
	}
}

// TestRefused: everything that is not as it was asked, each with what is said. Nothing is stored.
func TestRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ask("db1", server())
	w.ask("app1", client())
	w.ask("sub", sub())
	w.authority("other", "/CN=Other CA", "", 1)
	w.authority("twin", "/CN=Company Issuing", "root", 1)
	good := pki.ExtensionFile(server())
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in %q", old, good)
		}
		return strings.ReplaceAll(good, old, new)
	}
	ca := pki.ExtensionFile(sub())
	for _, c := range []struct{ name, key, by, ext, args, want string }{
		{"other issuer", "db1", "other", good, "", "it was issued by CN=Other CA, not by authority company (CN=Company Issuing)"},
		{"same name, other key", "db1", "twin", good, "", "its issuer has the name of authority company, but another key"},
		{"signed by the root", "db1", "root", good, "", "it was issued by CN=Company Root"},
		{"a name is missing", "db1", "ca", replace("DNS:db.example.net, ", ""), "", "it lacks the name DNS:db.example.net"},
		{"an address is missing", "db1", "ca", replace(", IP:10.0.0.1", ""), "", "it lacks the name IP:10.0.0.1"},
		{"a name more", "db1", "ca", replace("DNS:db.example.net", "DNS:db.example.net, DNS:www.example.net"), "", "it has the name DNS:www.example.net, which was not asked"},
		{"a mail address more", "db1", "ca", replace("DNS:db.example.net", "DNS:db.example.net, email:a@example.net"), "", "mail addresses or URIs"},
		{"an authority", "db1", "ca", replace("CA:FALSE", "CA:TRUE"), "", "it is an authority's (CA:TRUE"},
		{"may sign", "db1", "ca", replace("digitalSignature", "digitalSignature, keyCertSign"), "", "it is an authority's"},
		{"no signature", "db1", "ca", replace("digitalSignature", "keyEncipherment"), "", "its keyUsage lacks digitalSignature"},
		{"no use", "db1", "ca", replace("extendedKeyUsage = serverAuth\n", ""), "", "its extendedKeyUsage lacks serverAuth"},
		{"another use", "db1", "ca", replace("serverAuth", "clientAuth"), "", "its extendedKeyUsage lacks serverAuth"},
		{"a use more", "db1", "ca", replace("serverAuth", "serverAuth, clientAuth"), "", "holds more than serverAuth, which alone was asked"},
		{"an unknown use more", "db1", "ca", replace("serverAuth", "serverAuth, 1.2.3.4"), "", "holds more than serverAuth, which alone was asked"},
		{"an address of the web more", "db1", "ca", replace("DNS:db.example.net", "DNS:db.example.net, URI:https://example.net"), "", "mail addresses or URIs"},
		{"too long", "db1", "ca", good, "-days 400", "it lives 400 days, longer than the 365 that were asked"},
		{"ended", "db1", "ca", good, "-days 0", "it ended on"},
		{"signed with SHA-1", "db1", "ca", good, "-sha1", "it is signed with ECDSA-SHA1, which is not accepted any more"},
		{"critical extension", "db1", "ca", good + "1.2.3.4 = critical, ASN1:UTF8String:x\n", "", "critical extension 1.2.3.4"},
		{"client, other name", "app1", "ca", pki.ExtensionFile(client()), "-subj /CN=postgres", `its common name is "postgres", asked was "dbuser1"`},
		{"client, two names", "app1", "ca", pki.ExtensionFile(client()), "-subj /CN=postgres/CN=dbuser1", "it has 2 common names"},
		{"client, no name", "app1", "ca", pki.ExtensionFile(client()), "-subj /O=Company", "it has no common name"},
		{"client, host name", "app1", "ca", pki.ExtensionFile(client()) + "subjectAltName = DNS:app1\n", "", "it has the name DNS:app1, which was not asked"},
		{"authority, leaf", "sub", "ca", pki.ExtensionFile(client()), "", "it is no authority's"},
		{"authority, other subject", "sub", "ca", ca, "-subj /CN=clients", `its subject is "CN=clients", asked was "CN=clients,O=Example`},
		{"authority, no lists", "sub", "ca", strings.Replace(ca, ", cRLSign", "", 1), "", "its keyUsage lacks cRLSign"},
		{"authority, no path length", "sub", "ca", strings.Replace(ca, ", pathlen:0", "", 1), "", "it has no path length, asked was 0"},
		{"authority, long path", "sub", "ca", strings.Replace(ca, "pathlen:0", "pathlen:1", 1), "", "its path length is 1, asked was 0"},
		{"authority, for mail", "sub", "ca", ca + "extendedKeyUsage = emailProtection\n", "", "its extendedKeyUsage lacks serverAuth, so every certificate of a server below it is refused: ask for it without extendedKeyUsage"},
		{"authority, other names", "sub", "ca", ca + "nameConstraints = critical, permitted;DNS:corp.example\n", "", "its nameConstraints permit only corp.example, so a certificate for db1.example.net below it is refused"},
		{"authority, too long", "sub", "ca", ca, "-days 3650", "it lives 3650 days, longer than the 1825"},
	} {
		if subject, ok := strings.CutPrefix(c.args, "-subj "); ok {
			w.openssl("req", "-new", "-key", c.key+".key", "-subj", subject, "-out", c.key+".csr", "-config", c.key+".cnf")
			c.args = ""
		} else {
			w.openssl("req", "-new", "-key", c.key+".key", "-out", c.key+".csr", "-config", c.key+".cnf")
		}
		w.sign(c.key, c.by, c.ext, strings.Fields(c.args)...)
		in, err := w.check(c.key + ".crt")
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), c.key+".crt: ") {
			t.Errorf("%s: %v, %+v", c.name, err, in)
		}
	}
	if got := must(w.Requests()); len(got) != 3 {
		t.Errorf("%d requests are left", len(got))
	}
}

// TestRestrictedAuthority: an authority for clients alone may have what no server can live with; one above it that allows none below is refused.
func TestRestrictedAuthority(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ask("sub", sub())
	ca := pki.ExtensionFile(sub())
	for ext, accepted := range map[string]bool{
		"extendedKeyUsage = clientAuth\nnameConstraints = permitted;DNS:corp.example\n": true,
		"extendedKeyUsage = serverAuth\n":                                               true,
		"nameConstraints = permitted;DNS:example.net\n":                                 true,
		"nameConstraints = permitted;DNS:corp.example\n":                                false,
	} {
		w.sign("sub", "ca", ca+ext)
		if _, err := w.check("sub.crt"); (err == nil) != accepted {
			t.Errorf("%q: %v", ext, err)
		}
	}
	w.authority("ca", "/CN=Company Issuing", "root", 0)
	w.party.Chain[0] = w.cert("ca.crt")
	w.sign("sub", "ca", ca)
	if _, err := w.check("sub.crt"); err == nil || !strings.Contains(err.Error(), "Company Issuing: it allows 0 authorities below it, 1 are needed: ask its owner for one with path length 1") {
		t.Error(err)
	}
}

// TestRefusedFiles: files that hold something else, and certificates that nobody asked for.
func TestRefusedFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ask("db1", server())
	ext := pki.ExtensionFile(server())
	w.sign("db1", "ca", ext)
	w.write("first.crt", string(w.read("db1.crt")))
	w.sign("db1", "ca", ext, "-days", "300")
	w.write("two.crt", string(w.read("first.crt"))+string(w.read("db1.crt")))
	w.key("wrong", server())
	w.sign("wrong", "ca", ext)
	w.key("stranger", client())
	w.sign("stranger", "ca", pki.ExtensionFile(client()))
	w.authority("foreign", "/CN=Foreign", "", 0)
	w.openssl("x509", "-in", "db1.crt", "-outform", "DER", "-out", "der.crt")
	w.openssl("crl2pkcs7", "-nocrl", "-certfile", "db1.crt", "-outform", "DER", "-out", "der.p7")
	w.list("der", "ca", 1, "-crldays 30")
	w.openssl("crl", "-in", "der.crl", "-outform", "DER", "-out", "list.der")
	w.write("garbage", "no certificate\n")
	w.write("binary", "0\x82\x01\x00 not DER at all")
	w.write("empty", "")
	w.write("half.crt", string(w.read("db1.crt"))[:300])
	w.write("broken.p7", "-----BEGIN PKCS7-----\nAAAA\n-----END PKCS7-----\n")
	w.write("key.pem", string(w.read("db1.crt"))+string(w.read("db1.key")))
	for _, c := range []struct{ file, want string }{
		{"two.crt", "there are two, "},
		{"wrong.crt", "its key is not that of the request for server db1.example.net on db1.example.net: have " + w.Desk.Dir},
		{"stranger.crt", "nothing that waits has its key"},
		{"foreign.crt", "an authority's that stands above nobody here"},
		{"der.crt", "is DER (binary), PEM is expected: convert it with openssl x509 -inform DER"},
		{"der.p7", "is PKCS#7 in DER (binary), PEM is expected: convert it with openssl pkcs7"},
		{"list.der", "is DER (binary), PEM is expected: convert it with openssl crl -inform DER"},
		{"garbage", "no certificate in PEM found"},
		{"binary", "is binary, and neither a certificate"},
		{"empty", "is empty"},
		{"half.crt", "PEM block 1 is broken"},
		{"broken.p7", "is no PKCS#7 in DER"},
		{"key.pem", "holds a private key"},
		{"db1.csr", "a certificate or a list (X509 CRL) is expected"},
	} {
		if in, err := w.check(c.file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %+v", c.file, err, in)
		}
	}
	// One that is refused keeps all from being taken in, and each is named.
	if _, err := w.check("first.crt", "wrong.crt", "garbage"); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("together: %v", err)
	}
	in := must(w.check("first.crt"))
	if err := in.Store(w.now); err != nil {
		t.Fatal(err)
	}
	if _, err := w.check("db1.crt"); err == nil || !strings.Contains(err.Error(), "another one, 03EB, was taken in before") {
		t.Errorf("a second one later: %v", err)
	}
}

// TestLists: W35, for an authority elsewhere.
func TestLists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ask("app1", client())
	w.sign("app1", "ca", pki.ExtensionFile(client()))
	in := must(w.check("app1.crt"))
	if err := in.Store(w.now); err != nil {
		t.Fatal(err)
	}
	serial := pki.FormatSerial(w.cert("app1.crt").SerialNumber)
	w.authority("other", "/CN=Other CA", "", 1)
	w.authority("twin", "/CN=Company Issuing", "root", 1)
	w.list("first", "ca", 5, "-crldays 30", revoked("77"))
	w.list("root", "root", 1, "-crldays 30")
	in = must(w.check("first.crl", "root.crl"))
	if len(in.Lists) != 2 {
		t.Fatalf("%+v", in)
	}
	if err := w.WantList("somebody needs it"); err != nil {
		t.Fatal(err)
	}
	if err := in.Store(w.now); err != nil {
		t.Fatal(err)
	}
	if why := must(w.ListWanted()); why != "" {
		t.Errorf("still wanted: %s", why)
	}
	if lists := must(w.Lists()); len(lists) != 2 {
		t.Fatalf("%d lists are kept", len(lists))
	}
	if in = must(w.check("first.crl")); in.Known != 1 || len(in.Lists) != 0 {
		t.Errorf("handed in again: %+v", in)
	}
	w.list("other", "other", 9, "-crldays 30")
	w.list("twin", "twin", 9, "-crldays 30")
	w.list("lower", "ca", 4, "-crldays 30")
	w.list("same", "ca", 5, "-crldays 31")
	w.list("ended", "ca", 9, "-crlsec 1")
	if err := w.Revoke(pki.Revoked{Serial: w.cert("app1.crt").SerialNumber, At: w.now, Reason: 1, Expires: w.cert("app1.crt").NotAfter}); err != nil {
		t.Fatal(err)
	}
	w.list("lacks", "ca", 9, "-crldays 30")
	w.list("names", "ca", 9, "-crldays 30", revoked(serial))
	w.list("forgets", "ca", 10, "-crldays 30")
	w.now = w.now.Add(time.Hour)
	for _, c := range []struct{ file, want string }{
		{"other.crl", "list of CN=Other CA: no authority of that name signs for this inventory"},
		{"twin.crl", "list of authority Company Issuing was not signed by its key"},
		{"lower.crl", "has number 4, not above 5 of the list before"},
		{"same.crl", "has number 5, not above 5 of the list before"},
		{"ended.crl", "ended on"},
		{"lacks.crl", "lacks the revoked certificate " + serial},
	} {
		if in, err := w.check(c.file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %+v", c.file, err, in)
		}
	}
	in = must(w.check("names.crl"))
	if err := in.Store(w.now); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(w.Desk.path("revoked/" + serial)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.check("forgets.crl"); err == nil || !strings.Contains(err.Error(), "lacks the revoked certificate "+serial) {
		t.Errorf("revoked before: %v", err)
	}
}

// TestAnchor: an offline root's own certificate, alone and together with what it signed.
func TestAnchor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := pki.Template{Profile: pki.ProfileCA, Subject: w.cert("root.crt").Subject, ValidFor: 3650 * 24 * time.Hour, MaxPathLen: 1}
	w.party = Party{Authority: pki.Authority{Name: "company", Offline: true, Desk: w.Desk.Dir}, Wanted: root}
	w.ask("sub", sub())
	w.sign("sub", "root", pki.ExtensionFile(sub()))
	if _, err := w.check("sub.crt"); err == nil || !strings.Contains(err.Error(), "the certificate of authority company itself has not come") {
		t.Errorf("without it: %v", err)
	}
	w.list("root", "root", 1, "-crldays 30")
	in := must(w.check("sub.crt", "root.crl", "root.crt"))
	if len(in.Anchors) != 1 || len(in.Answers) != 1 || len(in.Lists) != 1 {
		t.Fatalf("%+v", in)
	}
	if err := in.Store(w.now); err != nil {
		t.Fatal(err)
	}
	w.party.Chain = []*x509.Certificate{must(w.Certificate())}
	if in = must(w.check("sub.crt", "root.crl", "root.crt")); in.Known != 3 {
		t.Errorf("again: %+v", in)
	}
	was := w.read("root.crt")
	for _, c := range []struct{ name, key, ext, days, want string }{
		{"another key", "new", pki.ExtensionFile(root), "3650", "it has another key than the one that is believed"},
		{"sooner", "root", pki.ExtensionFile(root), "3000", "the one that is there ends later"},
		{"path length", "root", strings.Replace(pki.ExtensionFile(root), "pathlen:1", "pathlen:0", 1), "3651", "its path length is 0, 1 is needed"},
		{"no lists", "root", strings.Replace(pki.ExtensionFile(root), ", cRLSign", "", 1), "3651", "lacks cRLSign"},
		{"too long", "root", pki.ExtensionFile(root), "7000", "it lives 7000 days, longer than the 3650"},
	} {
		w.write("root.crt", string(was))
		if c.key == "new" {
			w.key("new", root)
		}
		w.sign(c.key, "", c.ext, "-days", c.days)
		if in, err := w.check(c.key + ".crt"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %+v", c.name, err, in)
		}
	}
	w.sign("root", "", pki.ExtensionFile(root), "-days", "3651")
	if in, err := w.check("root.crt"); err != nil || len(in.Anchors) != 1 {
		t.Errorf("renewed from its key: %v", err)
	}
}

// TestDeskByHand: what somebody, or a merge, has left in the folder is told with its path, and nothing is taken for what it is not.
func TestDeskByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ask("db1", server())
	w.authority("twin", "/CN=Company Issuing", "root", 1)
	file := w.Desk.path("ca.crt")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(want string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), w.Desk.Dir) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	put("<<<<<<< ours\n" + string(w.read("ca.crt")) + "=======\n" + string(w.read("twin.crt")) + ">>>>>>> theirs\n")
	_, err := w.Certificate()
	refused("ca.crt: holds 2 certificates", err)
	put(strings.Replace(string(w.read("ca.crt")), "\n", "\n<<<<<<< ours\n", 1))
	_, err = w.Certificate()
	refused("is broken", err)
	put("")
	_, err = w.Certificate()
	refused("is empty", err)
	if err := exec.Command("mkfifo", w.Desk.path("requests/pipe.csr")).Run(); err != nil {
		t.Fatal(err)
	}
	_, err = w.Requests()
	refused("pipe.csr: is no file", err)
	if err := os.Remove(w.Desk.path("requests/pipe.csr")); err != nil {
		t.Fatal(err)
	}
	r := must(w.Requests())[0]
	text := string(must(os.ReadFile(r.File)))
	if err := os.WriteFile(r.File, []byte(strings.Replace(text, "made: ", "<<<<<<< ours\nmade: ", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = w.Requests()
	refused("remove it, and the next run asks again", err)
}

// FuzzRead: nothing that is handed in brings the reader down, and what it reads comes out of what it writes.
func FuzzRead(f *testing.F) {
	w := newWorld(f)
	w.openssl("crl2pkcs7", "-nocrl", "-certfile", "ca.crt", "-out", "chain.p7")
	w.list("list", "ca", 1, "-crldays 30")
	for _, name := range []string{"ca.crt", "chain.p7", "list.crl", "ca.csr"} {
		f.Add(w.read(name))
	}
	f.Add([]byte("0\x82"))
	f.Add([]byte("-----BEGIN PKCS7-----\nMAA=\n-----END PKCS7-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		certs, lists, err := Read(data)
		if err != nil {
			return
		}
		again, more, err := Read(append(pki.CertificatePEM(certs...), pki.CRLPEM(lists...)...))
		if len(certs)+len(lists) > 0 && err != nil || len(again) != len(certs) || len(more) != len(lists) {
			t.Errorf("%d and %d were read, then %d and %d: %v", len(certs), len(lists), len(again), len(more), err)
		}
	})
}

// FuzzRequest: what is read of a file on a desk is what would be written.
func FuzzRequest(f *testing.F) {
	for _, t := range []pki.Template{server(), client(), sub()} {
		f.Add([]byte(describe(&Request{Host: "h", Template: t, Made: time.Unix(1, 0)}) + "-----BEGIN X-----\n"))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, _, _, err := parseText(data)
		if err != nil {
			return
		}
		again, _, _, err := parseText([]byte(describe(r) + "-----BEGIN X-----\n"))
		if err != nil || !again.Wants(r.Template) || again.Host != r.Host {
			t.Errorf("%q: %v", describe(r), err)
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
