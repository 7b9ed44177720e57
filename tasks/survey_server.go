package tasks

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/tasks/survey"
)

// servers gathers the clusters of a host.
func (s *surveyor) servers(h *Host) {
	clusters, err := surveyClusters(h)
	if err != nil {
		s.unseen(h.Name, "db_server", "", "", err)
		return
	}
	l, err := serverLook(h, nil)
	if err != nil {
		s.unseen(h.Name, "db_server", "", baseDir, err)
		return
	}
	for _, c := range clusters {
		if c.Problem != "" {
			s.unseen(h.Name, "db_server", c.ID, c.DataDir, errors.New(c.Problem))
			continue
		}
		s.out.Servers = append(s.out.Servers, surveyServer(h, c, l))
		if c.Running && c.ServedProblem != "" {
			s.unseen(h.Name, "db_server", c.ID, "", errors.New("what it serves: "+c.ServedProblem))
		}
	}
}

// surveyClusters is Clusters, but gives clusters that have a problem too.
func surveyClusters(h *Host) ([]*Cluster, error) {
	found, err := foundClusters(h)
	if err != nil {
		return nil, err
	}
	return chooseClusters(h, found)
}

func surveyServer(h *Host, c *Cluster, l *look) survey.Server {
	out := survey.Server{Host: h.Name, Cluster: c.ID, Dir: c.Dir, Stopped: !c.Running, Names: serverNames(h, nil), OSUser: c.OSUser, OSGroup: c.OSGroup, TLS: c.upcomingTLS() && !c.dropped("ssl"),
		Passphrase: c.upcoming("ssl_passphrase_command") != "", ListFolder: c.upcoming("ssl_crl_dir") != "",
		Settings: c.Dir + "/" + settingsFile, ConfigFile: c.ConfigFile, Config: c.Config, Managed: c.writer(c.Config) != "", ManagedRules: c.writer(c.HBA) != "", HBAFile: c.HBAFile, HBA: c.HBA}
	out.Cert, out.Trust, out.Lists = c.fact("ssl_cert_file"), c.fact("ssl_ca_file"), c.fact("ssl_crl_file")
	if p := c.theirListFile(); p != "" && p != out.Lists.Path {
		out.Theirs = c.fileFact(p, "ssl_crl_file")
	}
	if !c.dropped("ssl_key_file") {
		out.Key = c.keyFact(c.upcomingPath("ssl_key_file"))
	}
	if c.Ours != nil {
		out.OurSettings = parseSettings(c.Ours)
	}
	if !slices.ContainsFunc(c.Copies, func(k Copy) bool { return k.Run == c.Rules.Run && k.State == "undone" }) {
		out.Noted = survey.Rules{Stage: c.Rules.Stage, Digest: c.Rules.Digest}
	}
	if c.Running {
		out.Loaded, out.InForce = c.LoadTime, map[string]string{}
		for _, name := range trustSettings {
			out.InForce[name] = c.absolute(c.Settings[name].Value)
		}
		out.Seen, out.Asks = c.ServedProblem == "" && c.tlsHost() != "", c.ServedCAs
		for _, der := range c.Served {
			if cert, err := x509.ParseCertificate(der); err == nil {
				out.Served = append(out.Served, cert)
			}
		}
	}
	for _, v := range l.versionsIn(c.Dir+"/v", "server") {
		if v.Crt.Path != out.Cert.Path {
			out.Versions = append(out.Versions, v.fact())
		}
	}
	out.Others = c.othersFacts(l, &out)
	return out
}

// dropped tells whether a setting that is in force from a file is in no file any more: a reload takes it away.
func (c *Cluster) dropped(name string) bool {
	return c.Running && c.Settings[name].SourceFile != "" && !hasLine(c, name)
}

// fact is the file of a setting, as the server's OS user saw it.
func (c *Cluster) fact(name string) survey.File {
	p := c.upcomingPath(name)
	if c.dropped(name) {
		p = ""
	}
	return c.fileFact(p, name)
}

// fileFact is a file that a setting names.
func (c *Cluster) fileFact(p, name string) survey.File {
	if p == "" {
		return survey.File{}
	}
	f, ok := c.Files[p]
	out := survey.File{Path: p, Owner: f.Owner, Group: f.Group, Mode: f.Mode, ModTime: f.ModTime, Absent: f.Missing}
	switch {
	case f.Missing:
	case !ok || !f.Readable:
		out.Problem = fmt.Sprintf("%s cannot be read by %s", p, c.OSUser)
	default:
		readBlocks(&out, f.Bytes, name)
	}
	return out
}

// readBlocks takes a file's certificates and lists; a file without what the setting wants has a problem.
func readBlocks(f *survey.File, data []byte, name string) {
	var err error
	f.Certs, f.Lists, err = pki.ParseBundle(data)
	switch {
	case err != nil:
		f.Problem = f.Path + " " + err.Error()
	case name == "ssl_crl_file" && len(f.Lists) == 0:
		f.Problem = f.Path + " holds no list of revoked certificates"
	case name != "ssl_crl_file" && len(f.Certs) == 0:
		f.Problem = f.Path + " holds no certificate"
	}
	if f.Problem != "" {
		f.Certs, f.Lists = nil, nil
	}
}

func (c *Cluster) keyFact(p string) survey.Key {
	if p == "" {
		return survey.Key{}
	}
	f := c.Files[p]
	out := survey.Key{File: survey.File{Path: p, Owner: f.Owner, Group: f.Group, Mode: f.Mode, ModTime: f.ModTime, Absent: f.Missing}}
	if f.Missing {
		return out
	}
	if !f.Readable {
		out.Problem = fmt.Sprintf("%s cannot be read by %s", p, c.OSUser)
	} else if pub, err := pki.ParsePublicKey(f.Bytes); err == nil {
		out.Public = pub
	} else if c.upcoming("ssl_passphrase_command") == "" {
		out.Problem = "it cannot be used: it is broken"
		if f.encrypted() {
			out.Problem = "it has a passphrase, which a server cannot be asked for when it starts unattended"
		}
	}
	return out
}

// fact is a version as facts.
func (v *version) fact() survey.Pair {
	return survey.Pair{Cert: v.Crt.fact("cert"), Key: v.Key.keyFact()}
}

// fact is an entry as a file; want is cert, or ssl_crl_file where lists are wanted.
func (e *entry) fact(want string) survey.File {
	out := survey.File{Path: e.Path, Owner: e.Owner, Group: e.Group, Mode: e.Mode, ModTime: e.ModTime, Absent: e.Kind == "absent"}
	switch {
	case out.Absent:
	case e.Kind != "file":
		out.Owner, out.Problem = "", fmt.Sprintf("%s could not be read (it is of kind %s)", e.Path, e.Kind)
	default:
		readBlocks(&out, e.PEM, want)
	}
	return out
}

func (e *entry) keyFact() survey.Key {
	out := survey.Key{File: survey.File{Path: e.Path, Owner: e.Owner, Group: e.Group, Mode: e.Mode, ModTime: e.ModTime, Absent: e.Kind == "absent"}, Passphrase: e.Encrypted}
	if out.Absent || e.Encrypted {
		return out
	}
	pub, err := pki.ParsePublicKey([]byte(e.Public))
	if e.Kind != "file" || err != nil {
		out.Problem = "it cannot be read as a key"
		return out
	}
	out.Public = pub
	return out
}

// othersFacts are certificates and lists in pgfleet's folder and in the data directory that the configuration does not name.
func (c *Cluster) othersFacts(l *look, s *survey.Server) []survey.File {
	named := []string{s.Cert.Path, s.Trust.Path, s.Lists.Path}
	var out []survey.File
	add := func(f survey.File) {
		if !slices.Contains(named, f.Path) && f.Problem == "" && len(f.Certs)+len(f.Lists) > 0 {
			out = append(out, f)
		}
	}
	add(s.Theirs)
	for _, name := range l.below(c.Dir) {
		want := map[bool]string{true: "ssl_crl_file", false: "cert"}[strings.HasPrefix(name, "crl-")]
		add(l.entry(c.Dir + "/" + name).fact(want))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Beside)) {
		f := c.Beside[name]
		if c.DataDir+"/"+name == s.Theirs.Path {
			continue
		}
		fact := survey.File{Path: c.DataDir + "/" + name, Owner: f.Owner, Group: f.Group, Mode: f.Mode, ModTime: f.ModTime}
		want := map[bool]string{true: "ssl_crl_file", false: "cert"}[path.Ext(name) == ".crl"]
		readBlocks(&fact, f.Bytes, want)
		add(fact)
	}
	return out
}
