package survey

import (
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// title names an identity with its host.
func (c *Client) title() string { return fmt.Sprintf("%s (%s)", c.Host, c.holder()) }

func (c *Client) holder() string { return c.DBUser + " of " + c.OSUser }

// client adds the rows of one identity.
func (j *judge) client(c *Client) {
	base := Row{Host: c.Host, Role: "client", Holder: c.holder(), InForce: true}
	if c.Refused != "" {
		r := base
		r.Kind, r.Path = KindServices, c.Home
		r.find(WrongMode, c.Refused, "")
		j.add(r)
	}
	if c.Broken != "" {
		r := base
		r.Kind, r.Path = KindServices, c.ServiceFile
		r.find(ServicesLost, c.Broken, "")
		j.add(r)
	}
	switch r := base; {
	case c.Named:
		j.pair(base, &c.Pair, nil, c.modes(), func(r *Row, _ *x509.Certificate) { j.acceptedByServers(r, c) })
	case len(c.Versions) == 0:
		r.Kind = KindCertificate
		r.find(Missing, "it has no certificate", again(c.Host))
		j.add(r)
	default:
		r.Kind, r.Path = KindServices, c.ServiceFile
		r.find(ServicesLost, "pgfleet's services are not there, though certificates are", again(c.Host))
		j.add(r)
	}
	j.believes(base, user{trust: &c.Trust, lists: &c.Lists, mode: c.modes().file, everybody: "every connection to a server is refused",
		below: "every connection to a server with a certificate below %s is refused", ours: true})
	j.notInForce(base, c.Versions, c.Others, c.Home+"/.postgresql/pgfleet", c.modes())
}

// modes are libpq's rule for keys, but for a key of root's, which pgfleet does not make; and that nobody else may change a public file.
func (c *Client) modes() modes {
	return modes{
		key: func(k *File) (string, string) {
			switch {
			case k.Owner != c.OSUser:
				return fmt.Sprintf("it belongs to %s, not to %s", k.Owner, c.OSUser), ""
			case k.Mode&0o077 != 0:
				return fmt.Sprintf("it has mode %04o: libpq uses no key that others may read, at most 0600", k.Mode), chmod(c.Host, "", "600", k)
			}
			return "", ""
		},
		file: func(f *File) (string, string) {
			switch {
			case f.Owner != c.OSUser && f.Owner != "root":
				return fmt.Sprintf("it belongs to %s, who can change it", f.Owner), ""
			case f.Mode&0o022 != 0:
				return fmt.Sprintf("it has mode %04o: others can change it", f.Mode), chmod(c.Host, "", "go-w", f)
			}
			return "", ""
		},
	}
}

// acceptedByServers finds servers that do not believe what a client presents.
func (j *judge) acceptedByServers(r *Row, c *Client) {
	var refuse []string
	why := ""
	for _, host := range c.Servers {
		for _, s := range j.servers[host] {
			if len(s.Trust.Certs) == 0 || !s.TLS {
				continue
			}
			lists := &s.Lists
			if s.ListFolder {
				lists = &File{} // what is in the folder was not read
			}
			if err := j.peers.accepts(c.Cert.Certs, pki.ProfileClient, &s.Trust, lists); err != nil {
				refuse, why = append(refuse, fmt.Sprintf("%s (%s)", s.Host, s.Cluster)), err.Error()
			}
		}
	}
	if len(refuse) > 0 {
		slices.Sort(refuse)
		r.find(NotTrusted, fmt.Sprintf("not accepted by %s: %s", some(refuse), why), again("db_server"))
	}
}
