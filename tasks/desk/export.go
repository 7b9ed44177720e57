package desk

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// Paper is a file to be carried to an authority.
type Paper struct {
	// Name below the authority's folder.
	Name string
	Data []byte
}

// Papers gives everything that an authority is asked for, with a README that says it in words and shows how somebody with nothing but openssl does it. nil: it is asked
// for nothing.
func (p *Party) Papers(now time.Time) ([]Paper, error) {
	requests, err := p.desk().Requests()
	if err != nil {
		return nil, err
	}
	wishes, err := p.ListWishes(now)
	if err != nil {
		return nil, err
	}
	own := p.Offline && len(p.Chain) == 0
	if !own && len(requests)+len(wishes) == 0 {
		return nil, nil
	}
	e := &export{party: p, now: now}
	fmt.Fprintf(&e.readme, "For authority %s", p.Name)
	if len(p.Chain) > 0 {
		fmt.Fprintf(&e.readme, " (%s)", pki.FormatSubject(p.Chain[0].Subject))
	}
	e.readme.WriteString(`

The commands are for an authority that is kept with openssl alone: run them in this folder. Any other authority can be asked for the same: what is written here has to
be in the certificate, and nothing beyond it; a shorter life will do. What comes back, in PEM, is taken in with

    pgfleet authority answer FILE…
`)
	if own {
		e.own()
	}
	for i := range requests {
		e.request(&requests[i])
	}
	for _, w := range wishes {
		e.list(w)
	}
	return append([]Paper{{"README", e.readme.Bytes()}}, e.papers...), nil
}

type export struct {
	party  *Party
	now    time.Time
	readme bytes.Buffer
	papers []Paper
}

// keeper are the names of the authority's own files in the commands.
func (e *export) keeper() string {
	if e.party.Offline {
		return e.party.Name
	}
	return "CA"
}

func (e *export) add(name string, data string) {
	e.papers = append(e.papers, Paper{name, []byte(data)})
}

func days(d time.Duration) int { return int(d / (24 * time.Hour)) }

// own asks an offline authority for its own certificate.
func (e *export) own() {
	t, name := e.party.Wanted, e.party.Name
	e.add(name+".cnf", pki.RequestConfig(t)+"[own]\n"+pki.ExtensionFile(t))
	fmt.Fprintf(&e.readme, "\n\nThe authority's own certificate\n\n%s\n", indent(wish(t)))
	fmt.Fprintf(&e.readme, "    openssl genpkey %s -aes256 -out %s.key\n", genkey(e.party.KeyTypeOrDefault()), name)
	if e.party.Issuer == "" {
		fmt.Fprintf(&e.readme, "    openssl req -new -x509 -key %s.key -config %s.cnf -extensions own -days %d -sha256 -out %s.crt\n", name, name, days(t.ValidFor), name)
		return
	}
	fmt.Fprintf(&e.readme, "    openssl req -new -key %s.key -config %s.cnf -out %s.csr\n", name, name, name)
	e.add(name+".ext", pki.ExtensionFile(t))
	fmt.Fprintf(&e.readme, "    %s\n", sign(e.party.Issuer, name, t))
}

// genkey gives openssl genpkey's options for a type of key.
func genkey(kind string) string {
	switch {
	case strings.HasPrefix(kind, "rsa-"):
		return "-algorithm RSA -pkeyopt rsa_keygen_bits:" + strings.TrimPrefix(kind, "rsa-")
	case kind == "ed25519":
		return "-algorithm ED25519"
	}
	return "-algorithm EC -pkeyopt ec_paramgen_curve:P-" + strings.TrimPrefix(kind, "ecdsa-p")
}

// sign is how openssl signs NAME.csr.
func sign(by, name string, t pki.Template) string {
	return fmt.Sprintf("openssl x509 -req -in %s.csr -CA %s.crt -CAkey %s.key -set_serial 0x$(openssl rand -hex 16) -days %d -sha256 -extfile %s.ext -out %s.crt",
		name, by, by, days(t.ValidFor), name, name)
}

func (e *export) request(r *Request) {
	name := strings.TrimSuffix(filepath.Base(r.File), ".csr")
	data, err := e.party.desk().read("requests/" + name + ".csr")
	if err != nil || data == nil {
		return // it was answered a moment ago
	}
	e.add(name+".csr", string(data))
	e.add(name+".ext", pki.ExtensionFile(r.Template))
	fmt.Fprintf(&e.readme, "\n\nCertificate for %s\n\n%s\n    %s\n", r.Title(), indent(wish(r.Template)), sign(e.keeper(), name, r.Template))
}

func (e *export) list(w ListWish) {
	name, keeper, end := "list", e.keeper(), e.now.Add(e.party.Wanted.ValidFor)
	if w.Issuer != nil {
		end = w.Issuer.NotAfter
		if !w.Issuer.Equal(e.party.Chain[0]) {
			keeper = "ABOVE" + fmt.Sprint(slices.IndexFunc(e.party.Chain, w.Issuer.Equal))
			name += "-" + keeper
		}
	}
	life := max(1, min(days(end.Sub(e.now)), days(pki.MaxCRLLife)))
	fmt.Fprintf(&e.readme, "\n\nList of revoked certificates (CRL) of %s\n\n    why: %s\n    number: %d or higher\n", w.Subject, w.Why, w.Number)
	for _, r := range w.Added {
		fmt.Fprintf(&e.readme, "    revoke: %s (decimal %d), %s, %s\n", pki.FormatSerial(r.Serial), r.Serial, pki.ReasonName(r.Reason), r.At.UTC().Format(time.RFC3339))
	}
	e.readme.WriteString("\n    The whole list, no delta. Lists are brought to the servers, so nothing is gained by an early end; but once it has ended, PostgreSQL refuses everybody below the authority.\n")
	fmt.Fprintf(&e.readme, "    Where the authority keeps an index.txt of its own, revoke there (openssl ca -revoke) and make the list from it.\n\n")
	fmt.Fprintf(&e.readme, "    openssl ca -gencrl -config %s.cnf -cert %s.crt -keyfile %s.key -out %s.crl\n", name, keeper, keeper, name)
	e.add(name+".cnf", "[ca]\ndefault_ca = d\n[d]\ndatabase = "+name+".index\ncrlnumber = "+name+".number\ndefault_md = sha256\ndefault_crl_days = "+fmt.Sprint(life)+"\ncrl_extensions = e\n[e]\nauthorityKeyIdentifier = keyid\n")
	number := pki.FormatSerial(w.Number)
	e.add(name+".number", number+"\n")
	var index strings.Builder
	for _, r := range w.Revoked {
		until := r.Expires
		if until.IsZero() {
			until = end
		}
		fmt.Fprintf(&index, "R\t%s\t%s,%s\t%s\tunknown\t/CN=unknown\n", indexTime(until), indexTime(r.At), pki.ReasonName(r.Reason), pki.FormatSerial(r.Serial))
	}
	e.add(name+".index", index.String())
}

// indexTime writes a time as openssl's index.txt has it: two digits of the year until 2049 (RFC 5280 4.1.2.5).
func indexTime(t time.Time) string {
	if t.UTC().Year() >= 2050 {
		return t.UTC().Format("20060102150405Z")
	}
	return t.UTC().Format("060102150405Z")
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n    ") + "\n"
}
