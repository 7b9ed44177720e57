package tasks

import (
	"path"
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/survey"
)

// clients gathers the identities of a host.
func (s *surveyor) clients(h *Host) {
	told := map[string]bool{} // files of an OS user that has several database users
	for _, id := range h.Identities {
		st, err := stateOf(h, id)
		if st == nil {
			s.unseen(h.Name, "client", id.DBUser+" of "+id.OSUser, "", err)
			continue
		}
		c := st.facts(h, told)
		if err != nil {
			text := strings.TrimPrefix(err.Error(), ErrRefused.Error()+": ")
			if st.Markers == "" || st.Markers == "be" {
				c.Refused = text
			} else {
				c.Broken = text
			}
		}
		s.out.Clients = append(s.out.Clients, c)
		if id.Default {
			s.out.Clients = append(s.out.Clients, st.defaults(h))
		}
	}
}

// defaults are the files of libpq's default names, which an identity uses besides those of its services.
func (st *identityState) defaults(h *Host) survey.Client {
	d := st.Home + "/.postgresql/"
	out := survey.Client{Host: h.Name, OSUser: st.ID.OSUser, DBUser: st.ID.DBUser, Servers: h.Servers, Home: st.Home, ServiceFile: st.ServiceFile, Named: true}
	out.Pair = st.pairFact(d + "postgresql")
	out.Trust = st.fileFact(d+"root.crt", "cert")
	if e := st.entry(d + "root.crl"); e.Kind != "absent" {
		out.Lists = e.fact("ssl_crl_file")
	}
	return out
}

// pairFact is NAME.crt and NAME.key.
func (st *identityState) pairFact(name string) survey.Pair {
	return survey.Pair{Cert: st.entry(name + ".crt").fact("cert"), Key: st.entry(name + ".key").keyFact()}
}

// facts of an identity; told are paths in ~/.postgresql that another identity has given already.
func (st *identityState) facts(h *Host, told map[string]bool) survey.Client {
	out := survey.Client{Host: h.Name, OSUser: st.ID.OSUser, DBUser: st.ID.DBUser, Servers: h.Servers, Home: st.Home, ServiceFile: st.ServiceFile, Named: len(st.Services) > 0}
	now := st.filesNow()
	if out.Named {
		out.Cert, out.Key = st.fileFact(now.Cert, "cert"), st.entry(now.Key).keyFact()
		if now.Key == "" {
			out.Key = survey.Key{}
		}
	}
	if e := st.entry(now.Root); out.Named || e.Kind != "absent" {
		out.Trust = st.fileFact(now.Root, "cert")
	}
	out.Lists = st.fileFact(now.CRL, "ssl_crl_file")
	for _, v := range st.Versions {
		if v.Crt.Path != now.Cert {
			out.Versions = append(out.Versions, v.fact())
		}
	}
	named := []string{now.Cert, now.Root, now.CRL}
	if d := st.Home + "/.postgresql/"; st.ID.Default {
		named = append(named, d+"postgresql.crt", d+"root.crt", d+"root.crl")
	}
	for _, name := range []string{"postgresql", "client"} {
		pair := st.Home + "/.postgresql/" + name
		if e := st.entry(pair + ".key"); e.Kind == "file" && !slices.Contains(named, pair+".crt") && !told[pair+".crt"] {
			told[pair+".crt"] = true
			out.Versions = append(out.Versions, st.pairFact(pair))
		}
	}
	for _, name := range st.below(st.Home + "/.postgresql") {
		p := st.Home + "/.postgresql/" + name
		e := st.entry(p)
		if e.Kind != "file" || told[p] || slices.Contains(named, p) || st.copyOfOurs(e) {
			continue
		}
		told[p] = true
		want := map[bool]string{true: "ssl_crl_file", false: "cert"}[path.Ext(name) == ".crl"]
		if f := e.fact(want); f.Problem == "" {
			out.Others = append(out.Others, f)
		}
	}
	return out
}

func (st *identityState) fileFact(p, want string) survey.File {
	if p == "" {
		return survey.File{}
	}
	return st.entry(p).fact(want)
}

// copyOfOurs tells whether a file in ~/.postgresql has the bytes of one of our own.
func (st *identityState) copyOfOurs(e *entry) bool {
	for _, own := range []string{st.Base + "/root.crt", st.Base + "/root.crl"} {
		if o := st.entry(own); len(o.PEM) > 0 && string(o.PEM) == string(e.PEM) {
			return true
		}
	}
	return st.sameAs(e) != nil
}
