package tasks

import (
	"errors"
	"fmt"
	"net/netip"
	"sort"
	"strconv"
	"strings"
	"unicode"
)

// serviceLine is the longest line of a service file that every libpq reads (256 bytes with its end before PostgreSQL 14).
const serviceLine = 254

// Service is how one identity of a client reaches one cluster of a server.
type Service struct {
	// OSUser owns the files, DBUser logs in. Server is the host's name in the inventory, Cluster "15/main" ("" when the server was not seen).
	OSUser, DBUser, Server, Cluster string
	// Name in the service file ("dbuser1@db1"). Host is a name that the server's certificate carries. Port is 0 when the server was not seen.
	Name, Host string
	Port       int
	Files      ServiceFiles
	// HomeDir and ServiceFile of the OS user, absolute.
	HomeDir, ServiceFile string
	// DB to use for a test: the identity's first, else postgres.
	DB string
	// Installed: the service file has this service now.
	Installed bool
	// Psql is the newest psql on the client, "" when there is none.
	Psql string
}

// ServiceFiles are absolute paths on the client; "" for what the service does not name.
type ServiceFiles struct{ Root, Cert, Key, CRL string }

// Services gives, for each identity of a client, each server that it uses and each cluster there, the service with the files now in force. The
// error is ErrPending when the client was not looked at, or ErrRefused where its files are not to be trusted.
func Services(h *Host) ([]Service, error) {
	var out []Service
	for _, id := range h.Identities {
		st, err := stateOf(h, id)
		if err != nil {
			return nil, err
		}
		wanted, err := servicesOf(h, st, st.filesNow())
		if err != nil {
			return nil, err
		}
		out = append(out, wanted...)
	}
	return out, nil
}

// filesNow gives the files that the block names; without a block the root certificate's usual place.
func (st *identityState) filesNow() ServiceFiles {
	names := make([]string, 0, len(st.Services))
	for name := range st.Services {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		s := st.Services[name]
		return ServiceFiles{Root: s["sslrootcert"], Cert: s["sslcert"], Key: s["sslkey"], CRL: s["sslcrl"]}
	}
	return ServiceFiles{Root: st.Base + "/root.crt"}
}

// servicesOf gives the services that an identity shall have with these files.
func servicesOf(h *Host, st *identityState, files ServiceFiles) ([]Service, error) {
	var out []Service
	for _, name := range h.Servers {
		server := h.Fleet.Hosts[name]
		if server == nil {
			return nil, fmt.Errorf("%w: %s uses %s, which is not in the inventory", ErrRefused, h.Name, name)
		}
		if !st.ID.uses(h, server) {
			continue
		}
		for _, s := range serverServices(h.Fleet, server, st) {
			s.OSUser, s.DBUser, s.Server, s.Files = st.ID.OSUser, st.ID.DBUser, name, files
			s.HomeDir, s.ServiceFile, s.DB = st.Home, st.ServiceFile, "postgres"
			s.Psql = st.Psql
			if len(st.ID.Databases) > 0 {
				s.DB = st.ID.Databases[0]
			}
			_, s.Installed = st.Services[s.Name]
			out = append(out, s)
		}
	}
	return out, nil
}

// serverServices gives name, cluster, host and port of each cluster of a server, in the order of their names: that in which clusters are found changes when one is restarted. Of a
// server that could not be looked at the services that the block already has are kept; a server that refuses (no cluster, a broken one) counts as not seen.
func serverServices(f *Fleet, server *Host, st *identityState) []Service {
	base := st.ID.DBUser + "@" + shortName(f, server)
	host := serviceHost(server)
	var out []Service
	clusters, err := Clusters(server)
	for _, c := range clusters {
		s := Service{Name: base, Cluster: c.ID, Host: host, Port: c.Port}
		if len(clusters) > 1 {
			s.Name += "/" + c.ID
		}
		out = append(out, s)
	}
	if err != nil {
		for name, s := range st.Services {
			if name != base && !strings.HasPrefix(name, base+"/") {
				continue
			}
			port, _ := strconv.Atoi(s["port"])
			_, cluster, _ := strings.Cut(name, "/")
			out = append(out, Service{Name: name, Cluster: cluster, Host: host, Port: port})
		}
		if len(out) == 0 {
			out = append(out, Service{Name: base, Host: host})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// serviceHost is the name by which applications reach a server; its certificate carries it (see serverNames).
func serviceHost(server *Host) string {
	if _, err := netip.ParseAddr(server.Address); err != nil && !strings.Contains(server.Name, ".") && strings.Contains(server.Address, ".") {
		return server.Address
	}
	return server.Name
}

// shortName is the first label of a server's name where no other server has the same, else the whole name.
func shortName(f *Fleet, server *Host) string {
	short, _, _ := strings.Cut(server.Name, ".")
	others := f.serversWithLabel(short)
	if server.HasRole("db_server") {
		others--
	}
	if others > 0 {
		return server.Name
	}
	if _, err := netip.ParseAddr(server.Name); err == nil {
		return server.Name
	}
	return short
}

// serversWithLabel counts the servers whose name begins with a label. They are counted once: every check of every client asks.
func (f *Fleet) serversWithLabel(label string) int {
	f.labels.once.Do(func() {
		f.labels.count = map[string]int{}
		for name, h := range f.Hosts {
			if h.HasRole("db_server") {
				first, _, _ := strings.Cut(name, ".")
				f.labels.count[first]++
			}
		}
	})
	return f.labels.count[label]
}

// serviceBlock is an identity's block of the service file, "" when there is nothing to say. A service whose port is not known is left out.
func serviceBlock(st *identityState, services []Service) (string, error) {
	var b strings.Builder
	first, last := blockMarks(st.ID)
	b.WriteString(first + "\n# Written by pgfleet. Lines between BEGIN and END are replaced, yours are kept.\n")
	n := 0
	for _, s := range services {
		if s.Port == 0 {
			continue
		}
		for _, other := range st.Others {
			if other == s.Name {
				return "", fmt.Errorf("%w: %s has a service %s of its own: rename or remove it", ErrRefused, st.ServiceFile, s.Name)
			}
		}
		n++
		writeService(&b, st, s)
	}
	b.WriteString(last + "\n")
	if n == 0 {
		return "", nil
	}
	for _, line := range strings.Split(b.String(), "\n") {
		if len(line) > serviceLine {
			return "", fmt.Errorf("%w: %s would have a line of %d bytes, libpq reads %d: %s", ErrRefused, st.ServiceFile, len(line), serviceLine, line)
		}
	}
	return b.String(), nil
}

func writeService(b *strings.Builder, st *identityState, s Service) {
	fmt.Fprintf(b, "[%s]\nhost=%s\nport=%d\nuser=%s\n", s.Name, s.Host, s.Port, s.DBUser)
	if len(st.ID.Databases) > 0 {
		fmt.Fprintf(b, "dbname=%s\n", s.DB)
	}
	b.WriteString("sslmode=verify-full\n")
	for _, line := range [][2]string{{"sslrootcert", s.Files.Root}, {"sslcert", s.Files.Cert}, {"sslkey", s.Files.Key}, {"sslcrl", s.Files.CRL}} {
		if line[1] != "" {
			fmt.Fprintf(b, "%s=%s\n", line[0], line[1])
		}
	}
}

// environment is the content of pgfleet.env: libpq's variables (PostgreSQL 17 manual, 32.15) for shells and for systemd's EnvironmentFile. The file of services is named where libpq
// would not look for it.
func (st *identityState) environment(files ServiceFiles) string {
	var b strings.Builder
	if st.ID.Home != "" {
		fmt.Fprintf(&b, "PGSERVICEFILE='%s'\n", st.ServiceFile)
	}
	b.WriteString("PGSSLMODE='verify-full'\n")
	for _, v := range [][2]string{{"PGSSLROOTCERT", files.Root}, {"PGSSLCERT", files.Cert}, {"PGSSLKEY", files.Key}, {"PGSSLCRL", files.CRL}} {
		if v[1] != "" {
			fmt.Fprintf(&b, "%s='%s'\n", v[0], v[1])
		}
	}
	return b.String()
}

// parseServices reads a block: service name to its settings.
func parseServices(block string) map[string]map[string]string {
	out := map[string]map[string]string{}
	var current map[string]string
	for _, line := range strings.Split(block, "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") {
			current = map[string]string{}
			out[line[1:len(line)-1]] = current
			continue
		}
		if name, value, ok := strings.Cut(line, "="); ok && current != nil && !strings.HasPrefix(line, "#") {
			current[name] = value
		}
	}
	return out
}

// checkIdentity refuses names that a service file, a folder or a certificate cannot carry.
func checkIdentity(id Identity) error {
	switch {
	case id.DBUser == "" || id.OSUser == "":
		return errors.New("an identity needs an OS user and a database user")
	case len(id.DBUser) > 63:
		return fmt.Errorf("database user %q is longer than PostgreSQL's 63 bytes", id.DBUser)
	case strings.ContainsFunc(id.DBUser, unicode.IsControl) || strings.ContainsAny(id.DBUser, "]"):
		return fmt.Errorf("database user %q has a control character or a bracket", id.DBUser)
	case strings.TrimSpace(id.DBUser) != id.DBUser:
		return fmt.Errorf("database user %q begins or ends with a blank", id.DBUser)
	}
	return nil
}
