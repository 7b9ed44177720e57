package tasks

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/postgres"
)

// upcoming gives the value that a setting has after the next reload: what the files say, unless the command line says otherwise.
func (c *Cluster) upcoming(name string) string {
	s := c.Settings[name]
	if s.Source == "command line" || s.Source == "environment variable" || !c.Running {
		return s.Value
	}
	for i := len(c.Lines) - 1; i >= 0; i-- {
		if l := c.Lines[i]; l.Name == name && l.Applied {
			return l.Value
		}
	}
	return s.Value
}

// upcomingPath is upcoming for a file name, made absolute.
func (c *Cluster) upcomingPath(name string) string { return c.absolute(c.upcoming(name)) }

// upcomingTLS tells whether the server is to offer TLS.
func (c *Cluster) upcomingTLS() bool {
	on, ok := ParseBool(c.upcoming("ssl"))
	return ok && on
}

// tlsHost is the address on which the host itself reaches the server over TCP, "" when it listens on none.
func (c *Cluster) tlsHost() string {
	var list []string
	for _, word := range strings.Split(c.ListenAddresses, ",") {
		if word = strings.TrimSpace(word); word != "" {
			list = append(list, word)
		}
	}
	for _, word := range []string{"*", "0.0.0.0", "localhost", "127.0.0.1"} {
		if slices.Contains(list, word) {
			return "127.0.0.1"
		}
	}
	if len(list) == 0 {
		return ""
	}
	if slices.Contains(list, "::") {
		return "[::1]"
	}
	if addr, err := netip.ParseAddr(list[0]); err == nil && addr.Is6() {
		return "[" + list[0] + "]"
	}
	return list[0]
}

// reloadReasons says what the live server has not taken from its files yet, the most telling first: what a new connection sees, settings, times of files.
func reloadReasons(c *Cluster) []string {
	reasons := append(servedReasons(c), settingReasons(c)...)
	for _, f := range c.watchedFiles() {
		if c.newer(f) {
			reasons = append(reasons, path.Base(f.Path)+" is newer than the last reload")
		}
	}
	return reasons
}

// concernsTLS tells whether a reload would change what is served over TLS: files, or the settings that name them.
func concernsTLS(c *Cluster) bool {
	if len(servedReasons(c)) > 0 || slices.ContainsFunc(settingReasons(c), func(reason string) bool { return strings.HasPrefix(reason, "ssl") }) {
		return true
	}
	for _, name := range tlsFiles {
		if f, ok := c.Files[c.upcomingPath(name)]; ok && c.upcomingTLS() && c.newer(f) {
			return true
		}
	}
	return false
}

// tlsFiles are the settings that name files.
var tlsFiles = []string{"ssl_cert_file", "ssl_key_file", "ssl_ca_file", "ssl_crl_file"}

// newer tells whether a file was changed after the last reload. A time in the future says nothing; a reload would not make it older.
func (c *Cluster) newer(f HostFile) bool {
	return f.ModTime.After(c.LoadTime) && !f.ModTime.After(c.Now.Add(1e9))
}

// settingReasons compares the settings of the files with those in force.
func settingReasons(c *Cluster) []string {
	var out []string
	seen := map[string]bool{}
	for i := len(c.Lines) - 1; i >= 0; i-- {
		l := c.Lines[i]
		s, ok := c.Settings[l.Name]
		if seen[l.Name] || !l.Applied || !ok {
			continue
		}
		seen[l.Name] = true
		fromFile := s.Source == "configuration file" || s.Source == "default"
		if fromFile && s.Context != "postmaster" && !postgres.SameValue(s.Type, s.Unit, l.Value, s.Value) {
			out = append(out, fmt.Sprintf("%s = %s is not in force yet", l.Name, l.Value))
		}
	}
	for _, name := range postgres.Names(settingNames(c.Settings)) {
		if s := c.Settings[name]; strings.HasPrefix(name, "ssl") && s.SourceFile != "" && !hasLine(c, name) {
			out = append(out, name+" is set no more")
		}
	}
	return out
}

func settingNames(m map[string]Setting) map[string]string {
	out := map[string]string{}
	for name := range m {
		out[name] = ""
	}
	return out
}

func hasLine(c *Cluster, name string) bool {
	return slices.ContainsFunc(c.Lines, func(l FileLine) bool { return l.Name == name })
}

// watchedFiles are the files that the server reads at a reload.
func (c *Cluster) watchedFiles() []HostFile {
	var out []HostFile
	for _, p := range []string{c.ConfigFile, c.HBAFile, c.IdentFile} {
		if f, ok := c.ConfigFiles[p]; ok {
			out = append(out, f)
		}
	}
	if len(c.Ours) > 0 {
		out = append(out, HostFile{Path: c.Dir + "/" + settingsFile, ModTime: c.OursTime})
	}
	if c.upcomingTLS() {
		for _, name := range tlsFiles {
			if f, ok := c.Files[c.upcomingPath(name)]; ok {
				out = append(out, f)
			}
		}
	}
	return out
}

// servedReasons compares what a new TLS connection sees with the files.
func servedReasons(c *Cluster) []string {
	if c.ServedProblem != "" || c.tlsHost() == "" {
		return nil
	}
	if !c.upcomingTLS() {
		if len(c.Served) > 0 {
			return []string{"TLS is still offered"}
		}
		return nil
	}
	var out []string
	leaf := firstCertificate(c.Files[c.upcomingPath("ssl_cert_file")].Bytes)
	switch {
	case len(c.Served) == 0 && !c.Running:
		out = append(out, "it is not running")
	case len(c.Served) == 0:
		out = append(out, "TLS is not offered yet")
	case leaf != nil && string(leaf) != string(c.Served[0]):
		out = append(out, "another certificate is served than that of the file")
	}
	if len(c.Served) > 0 && !sameNames(c.ServedCAs, authorityNames(c)) {
		out = append(out, "the authorities asked for are not those of the file")
	}
	return out
}

// firstCertificate gives the DER of the first certificate in PEM text, nil when there is none.
func firstCertificate(text []byte) []byte {
	list := certificatesDER(text)
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

func certificatesDER(text []byte) [][]byte {
	var out [][]byte
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return out
		}
		if block.Type == "CERTIFICATE" || block.Type == "TRUSTED CERTIFICATE" || block.Type == "X509 CERTIFICATE" {
			out = append(out, block.Bytes)
		}
	}
}

// authorityNames are the subjects in the file of authorities, in ServedCAs' form.
func authorityNames(c *Cluster) []string {
	var out []string
	for _, cert := range caFileCertificates(c) {
		out = append(out, subjectText(cert))
	}
	return out
}

// caFileCertificates are the certificates in the file of authorities.
func caFileCertificates(c *Cluster) []*x509.Certificate {
	var out []*x509.Certificate
	for _, der := range certificatesDER(c.Files[c.upcomingPath("ssl_ca_file")].Bytes) {
		if cert, err := x509.ParseCertificate(der); err == nil {
			out = append(out, cert)
		}
	}
	return out
}

// sameNames compares two lists as sets.
func sameNames(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}

// listsMissing refuses a file of authorities of which some has no current list of revoked certificates while lists are on: PostgreSQL
// would then refuse everybody who shows a certificate (CRL_CHECK_ALL).
func listsMissing(h *Host, c *Cluster) error {
	set := parseSettings(c.Ours)
	ours := set["ssl_crl_file"] != ""
	// One that has ended, and that others renew, keeps nothing of ours from coming into force where that makes it no worse: in our file it stands because there is no newer one, theirs has
	// been read already.
	may := func(ca *x509.Certificate) bool {
		return (ours || set["ssl_cert_file"] != "" && c.hasRead("ssl_crl_file")) && h.signsElsewhere(ca)
	}
	if err := c.listLacking(may); err != nil {
		do := "put a trust task before this one"
		if !ours {
			do = c.bringTheirs()
		}
		return fmt.Errorf("%w: cluster %s: %w; %s", ErrRefused, c.ID, err, do)
	}
	return nil
}

// hasRead tells whether the running server has the file that a setting names, as it is now.
func (c *Cluster) hasRead(name string) bool {
	file := c.upcomingPath(name)
	return c.Running && c.absolute(c.Settings[name].Value) == file && !c.Files[file].ModTime.After(c.LoadTime)
}

// listLacking names an authority without a current list while lists are on; nil: there is none. Of those that may (nil: nobody), the list may have ended.
func (c *Cluster) listLacking(may func(*x509.Certificate) bool) error {
	name := c.upcomingPath("ssl_crl_file")
	f, seen := c.Files[name]
	if name == "" || !seen || c.upcoming("ssl_crl_dir") != "" {
		return nil
	}
	lists := revocationLists(f.Bytes)
	for _, ca := range caFileCertificates(c) {
		current := slices.ContainsFunc(lists, func(l *x509.RevocationList) bool {
			return l.CheckSignatureFrom(ca) == nil && !l.ThisUpdate.After(c.Now) && (l.NextUpdate.IsZero() || l.NextUpdate.After(c.Now) || may != nil && may(ca))
		})
		if !current {
			return fmt.Errorf("%s has no list of authority %s that is valid at %s (the host's clock): everybody who shows a certificate would be refused", name, subjectText(ca),
				c.Now.Format("2006-01-02 15:04:05"))
		}
	}
	return nil
}

func revocationLists(text []byte) []*x509.RevocationList {
	var out []*x509.RevocationList
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return out
		}
		if list, err := x509.ParseRevocationList(block.Bytes); err == nil && block.Type == "X509 CRL" {
			out = append(out, list)
		}
	}
}
