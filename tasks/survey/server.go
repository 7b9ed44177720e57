package survey

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/tasks/postgres"
)

// Digest stands for pgfleet's block of a pg_hba.conf, whose lines are given without the marks around them: 16 hex digits.
func Digest(lines []string) string {
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:8])
}

// server adds the rows of one cluster.
func (j *judge) server(s *Server) {
	base := Row{Host: s.Host, Role: "db_server", Holder: s.Cluster, InForce: true}
	lost := j.settings(base, s)
	j.rules(base, s)
	if !s.TLS {
		r := base
		r.Kind, r.Path = KindCertificate, s.Cert.Path
		r.find(Missing, "TLS is off", again(s.Host))
		j.add(r)
	} else {
		j.pair(base, &s.Pair, s.Names, s.modes(), func(r *Row, leaf *x509.Certificate) {
			j.served(r, s, leaf, lost)
			j.acceptedByClients(r, s)
		})
		j.believes(base, user{trust: &s.Trust, lists: &s.Lists, wants: true, folder: s.ListFolder, mode: s.modes().file,
			everybody: "every client that shows a certificate is refused", below: "every client with a certificate below %s is refused",
			ours: s.OurSettings["ssl_crl_file"] != "", theirs: &s.Theirs, reload: ", then: pgfleet task postgres_reload -l " + s.Host, ca: s.asks, list: s.loaded})
	}
	j.notInForce(base, s.Versions, s.Others, s.Dir, s.modes())
}

// notInForce adds the rows of what is kept or lies about. What is in the folder own is kept by pgfleet for going back, also when its authority was replaced.
func (j *judge) notInForce(base Row, versions []Pair, others []File, own string, m modes) {
	base.InForce = false
	for i := range versions {
		j.pair(base, &versions[i], nil, m, nil)
	}
	for i := range others {
		for _, c := range others[i].Certs {
			r := base
			r.Kind, r.Path = KindCertificate, others[i].Path
			if c.IsCA {
				r.Kind = KindAuthority
			}
			j.describe(&r, c)
			if ours, unsure := j.believable(c); !ours && !unsure && !strings.HasPrefix(r.Path, own+"/") {
				r.find(NotOurs, fmt.Sprintf("no authority of the inventory has signed it; its issuer is %s", r.Issuer), "")
			}
			j.add(r)
		}
		for _, l := range others[i].Lists {
			r := base
			r.Kind, r.Path = KindList, others[i].Path
			j.describeList(&r, l)
			j.add(r)
		}
	}
}

// modes are PostgreSQL's own rule for keys (at most 0600 when the server's user owns the key, 0640 when root does), and that nobody else may change a public file.
func (s *Server) modes() modes {
	return modes{
		key: func(k *File) (string, string) {
			switch {
			case k.Owner == s.OSUser && k.Mode&0o077 == 0, k.Owner == "root" && k.Mode&0o037 == 0:
				return "", ""
			case k.Owner == s.OSUser:
				return fmt.Sprintf("it has mode %04o: at most 0600 when %s owns it, and PostgreSQL does not start with more", k.Mode, s.OSUser), chmod(s.Host, s.Dir, "600", k)
			case k.Owner == "root":
				return fmt.Sprintf("it has mode %04o: at most 0640 when root owns it, and PostgreSQL does not start with more", k.Mode), chmod(s.Host, s.Dir, "640", k)
			}
			return fmt.Sprintf("it belongs to %s: PostgreSQL wants %s or root, and does not start with it", k.Owner, s.OSUser), again(s.Host)
		},
		file: func(f *File) (string, string) {
			ours := strings.HasPrefix(f.Path, s.Dir+"/")
			switch {
			case f.Owner != "root" && (ours || f.Owner != s.OSUser):
				return fmt.Sprintf("it belongs to %s, who can change it", f.Owner), again(s.Host)
			case f.Mode&0o022 != 0:
				return fmt.Sprintf("it has mode %04o: others can change it", f.Mode), chmod(s.Host, s.Dir, "go-w", f)
			}
			return "", ""
		},
	}
}

// served compares what a new connection saw with the certificate of the file. lost: the file is named because pgfleet's settings are lost; a reload would put it in force.
func (j *judge) served(r *Row, s *Server, leaf *x509.Certificate, lost bool) {
	reload := "reload it and see whether it takes the file: pgfleet task postgres_reload -l " + s.Host
	if lost {
		reload = again(s.Host)
	}
	switch {
	case !s.Seen:
	case len(s.Served) == 0:
		r.find(NotServed, "TLS is not offered: the server did not take the file, or was not reloaded", reload)
	case !s.Served[0].Equal(leaf):
		was := s.Served[0]
		r.find(NotServed, fmt.Sprintf("the server presents %s with serial %s until %s: it did not take the file, or was not reloaded",
			pki.FormatSubject(was.Subject), pki.FormatSerial(was.SerialNumber), day(was.NotAfter)), reload)
	default:
		for _, above := range s.Cert.Certs[1:] {
			if !slices.ContainsFunc(s.Served, above.Equal) {
				r.find(NotServed, fmt.Sprintf("the server presents it without %s, which the file has: it was not reloaded", pki.FormatSubject(above.Subject)), reload)
				return
			}
		}
	}
}

// asks finds that the server does not ask for certificates of a CA in its file, or has another file.
func (s *Server) asks(r *Row, ca *x509.Certificate) {
	s.inForce(r, "ssl_ca_file", &s.Trust)
	if s.Seen && len(s.Served) > 0 && !slices.Contains(s.Asks, sequence(ca.RawSubject)) {
		r.find(NotServed, "the server does not ask for certificates of it: it did not take the file, or was not reloaded", "pgfleet task postgres_reload -l "+s.Host)
	}
}

// loaded finds that the server has not read a file of lists since it changed.
func (s *Server) loaded(r *Row) {
	s.inForce(r, "ssl_crl_file", &s.Lists)
	if !s.Loaded.IsZero() && s.Lists.ModTime.After(s.Loaded) {
		r.find(NotServed, "the file is newer than the server's last reload", "pgfleet task postgres_reload -l "+s.Host)
	}
}

func (s *Server) inForce(r *Row, name string, f *File) {
	if now, ok := s.InForce[name]; ok && now != f.Path {
		if now == "" {
			now = "none"
		}
		r.find(NotServed, fmt.Sprintf("the running server has another file (%s = %s)", name, now), "pgfleet task postgres_reload -l "+s.Host)
	}
}

// sequence writes a name as pkix.RDNSequence does.
func sequence(raw []byte) string {
	var seq pkix.RDNSequence
	if _, err := asn1.Unmarshal(raw, &seq); err != nil {
		return ""
	}
	return seq.String()
}

// acceptedByClients finds clients that do not believe what a server presents.
func (j *judge) acceptedByClients(r *Row, s *Server) {
	var refuse []string
	why := ""
	for _, c := range j.users[s.Host] {
		if len(c.Trust.Certs) == 0 {
			continue
		}
		if err := j.peers.accepts(s.Cert.Certs, pki.ProfileServer, &c.Trust, &c.Lists); err != nil {
			refuse, why = append(refuse, c.title()), err.Error()
		}
	}
	if len(refuse) > 0 {
		slices.Sort(refuse)
		r.find(NotTrusted, fmt.Sprintf("not accepted by %s: %s", some(slices.Compact(refuse)), why), again("client"))
	}
}

// settings finds that the server does not read pgfleet's settings file, or that something after it says otherwise.
func (j *judge) settings(base Row, s *Server) (lost bool) {
	base.Kind, base.Path = KindSettings, s.ConfigFile
	included, after := postgres.Includes(s.Config, s.Settings)
	without := "PostgreSQL does not start"
	if bytes.Contains(s.Config, []byte(postgres.IncludeIfExistsLine(s.Settings))) {
		without = "PostgreSQL starts without what pgfleet has set"
	}
	switch {
	case s.Managed:
		return false
	case included && s.OurSettings == nil:
		base.find(Missing, fmt.Sprintf("it includes %s, which is not there: %s", s.Settings, without), again(s.Host))
	case len(s.OurSettings) == 0:
		return false
	case !included:
		base.find(IncludeLost, fmt.Sprintf("it does not include %s any more: what pgfleet has set ends with the next reload", s.Settings), again(s.Host))
	case slices.ContainsFunc(after, func(a postgres.Assignment) bool { return postgres.IsInclude(a.Name) || s.OurSettings[a.Name] != "" }):
		base.find(IncludeLost, fmt.Sprintf("it has settings or includes after the line that includes %s, and they win", s.Settings), again(s.Host))
	default:
		return false
	}
	j.add(base)
	return true
}

// rules finds that pgfleet's block of pg_hba.conf is not as pgfleet has written it.
func (j *judge) rules(base Row, s *Server) {
	base.Kind, base.Path = KindRules, s.HBAFile
	block, _, err := postgres.SplitBlock(s.HBA)
	stage, _ := postgres.StageOf(s.HBA)
	switch {
	case s.HBA == nil || s.ManagedRules:
		return
	case err != nil:
		base.find(RulesLost, err.Error(), again(s.Host))
	case s.Noted.Stage == "" && stage != postgres.Altered, s.Noted.Stage != "" && s.Noted.Digest == Digest(block):
		return
	case len(block) == 0:
		base.find(RulesLost, fmt.Sprintf("pgfleet's block is gone; stage %s was set", s.Noted.Stage), again(s.Host))
	default:
		base.find(RulesLost, "pgfleet's block was changed by hand", again(s.Host))
	}
	j.add(base)
}
