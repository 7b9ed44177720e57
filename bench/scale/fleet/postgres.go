package fleet

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"sort"
	"strings"
	"time"

	pg "github.com/pgfleet/pgfleet/tasks/postgres"
)

// Places of the one cluster of a simulated server, as Debian has them.
const (
	dataDir  = "/var/lib/postgresql/15/main"
	confDir  = "/etc/postgresql/15/main"
	confFile = confDir + "/postgresql.conf"
	hbaFile  = confDir + "/pg_hba.conf"
	oursFile = "/etc/pgfleet/15-main/pgfleet.conf"
)

// postgresServer is a running server: what it has in force, which is what its files were when it last read them.
type postgresServer struct {
	host *Host
	// set: settings in force from pgfleet's file. cert, ca, lists: bytes of the TLS files in force. hba: rules in force.
	set             map[string]string
	cert, ca, lists []byte
	hba             []byte
	load            time.Time
	roles           []string
	// keys: private keys made on this host, by public key in DER.
	keys map[string]*ecdsa.PrivateKey
}

func newPostgres(h *Host) *postgresServer {
	h.disk.put(confFile, []byte("listen_addresses = '*'\nport = 5432\n"), postgres, 0o644)
	h.disk.put(hbaFile, []byte("local all all peer\nhost all all 127.0.0.1/32 scram-sha-256\n"), postgres, 0o640)
	h.disk.put(confDir+"/pg_ident.conf", []byte("# none\n"), postgres, 0o640)
	return &postgresServer{host: h, set: map[string]string{}, load: time.Now(), keys: map[string]*ecdsa.PrivateKey{}, hba: h.disk.text(hbaFile)}
}

// upcoming are pgfleet's settings that a reload would bring into force.
func (p *postgresServer) upcoming() map[string]string {
	if found, _ := pg.Includes(p.host.disk.text(confFile), oursFile); !found {
		return map[string]string{}
	}
	set, _ := pg.SettingsOf(p.host.disk.text(oursFile))
	return set
}

func absolute(p string) string {
	if p == "" || path.IsAbs(p) {
		return p
	}
	return dataDir + "/" + p
}

// read is a reload.
func (p *postgresServer) read() {
	d := p.host.disk
	p.set, p.load, p.hba = p.upcoming(), time.Now(), d.text(hbaFile)
	p.cert, p.ca, p.lists = d.text(p.set["ssl_cert_file"]), d.text(p.set["ssl_ca_file"]), d.text(p.set["ssl_crl_file"])
}

// defaults are the settings that the probe asks about, with their values where nothing sets them, types and contexts.
var defaults = map[string][3]string{
	"config_file": {confFile, "string", "postmaster"}, "hba_file": {hbaFile, "string", "postmaster"}, "ident_file": {confDir + "/pg_ident.conf", "string", "postmaster"},
	"data_directory": {dataDir, "string", "postmaster"}, "listen_addresses": {"*", "string", "postmaster"}, "port": {"5432", "integer", "postmaster"},
	"unix_socket_directories": {"/var/run/postgresql", "string", "postmaster"}, "password_encryption": {"scram-sha-256", "enum", "user"},
	"cluster_name": {"15/main", "string", "postmaster"}, "ssl": {"off", "bool", "sighup"}, "ssl_ca_file": {"", "string", "sighup"},
	"ssl_cert_file": {"server.crt", "string", "sighup"}, "ssl_crl_file": {"", "string", "sighup"}, "ssl_crl_dir": {"", "string", "sighup"},
	"ssl_key_file": {"server.key", "string", "sighup"}, "ssl_ciphers": {"HIGH:MEDIUM:+3DES:!aNULL", "string", "sighup"},
	"ssl_min_protocol_version": {"TLSv1.2", "enum", "sighup"}, "ssl_max_protocol_version": {"", "enum", "sighup"},
	"ssl_passphrase_command": {"", "string", "sighup"}, "ssl_prefer_server_ciphers": {"on", "bool", "sighup"}, "ssl_ecdh_curve": {"prime256v1", "string", "sighup"},
	"ssl_dh_params_file": {"", "string", "sighup"}, "ssl_library": {"OpenSSL", "string", "internal"}, "ssl_passphrase_command_supports_reload": {"off", "bool", "sighup"},
}

// sql is what psql prints for the probe's statement.
func (p *postgresServer) sql() string {
	type row map[string]any
	upcoming := p.upcoming()
	settings := row{}
	for name, d := range defaults {
		r := row{"value": d[0], "unit": nil, "type": d[1], "source": "default", "file": "", "line": 0, "pending": false, "context": d[2]}
		if v, ok := p.set[name]; ok {
			r["value"], r["source"], r["file"], r["line"] = v, "configuration file", oursFile, 2
		}
		settings[name] = r
	}
	var lines []row
	for i, name := range pg.Names(upcoming) {
		lines = append(lines, row{"file": oursFile, "line": i + 2, "name": name, "value": upcoming[name], "applied": true, "error": "", "restart": false})
	}
	roles := []row{{"name": "postgres", "login": true, "super": true, "replication": true, "password": false, "scram": false, "expired": false, "groups": []string{}}}
	for _, name := range p.roles {
		roles = append(roles, row{"name": name, "login": true, "super": false, "replication": false, "password": false, "scram": false, "expired": false, "groups": []string{}})
	}
	var b strings.Builder
	tell := func(topic string, v any) {
		text, _ := json.Marshal(v) // plain values
		fmt.Fprintf(&b, "%s\t%s\n", topic, text)
	}
	tell("server", row{"version": 150008, "standby": false, "load": seconds(p.load), "start": seconds(p.load.Add(-time.Hour)), "superuser": "on", "user": "postgres"})
	tell("settings", settings)
	if lines == nil {
		lines = []row{}
	}
	tell("lines", lines)
	tell("hba", []row{})
	tell("roles", roles)
	tell("databases", []string{"postgres", "template1"})
	tell("sessions", []row{})
	for _, f := range p.files(upcoming) {
		fmt.Fprintf(&b, "file\t%s\t%s\n", f[0], f[1])
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// files are kind and path of every file in force or about to be.
func (p *postgresServer) files(upcoming map[string]string) [][2]string {
	seen := map[[2]string]bool{}
	for _, kind := range []string{"cert", "key", "ca", "crl"} {
		name := "ssl_" + kind + "_file"
		now, ok := p.set[name]
		if !ok {
			now = defaults[name][0]
		}
		for _, v := range []string{now, upcoming[name]} {
			if v != "" {
				seen[[2]string{kind, absolute(v)}] = true
			}
		}
	}
	for _, f := range []string{confFile, hbaFile, confDir + "/pg_ident.conf"} {
		seen[[2]string{"text", f}] = true
	}
	var out [][2]string
	for f := range seen {
		out = append(out, f)
	}
	sort.Slice(out, func(i, j int) bool { return out[i][0]+out[i][1] < out[j][0]+out[j][1] })
	return out
}

func seconds(t time.Time) string { return fmt.Sprintf("%d.%06d", t.Unix(), t.Nanosecond()/1000) }

// records are written as the probe does: "name length", bytes.
type records struct{ bytes.Buffer }

func (r *records) record(name, body string) { fmt.Fprintf(r, "%s %d\n%s\n", name, len(body), body) }

func (h *Host) postgresProbe(s *step) reply {
	if s.arg(1) != h.fleet.programs.reader {
		h.fleet.counters.add(func(c *Counts) { c.Unknown++ })
		return failed("simulated host: another program than tasks/postgres_reader.sh was given")
	}
	r := &records{}
	if p := h.postgres; p != nil {
		r.record("cluster", "data="+dataDir+"\nconfig=\nstate=running\npid=4711\nmajor=15\nbin=/usr/lib/postgresql/15/bin\nuser=postgres\ngroup=postgres\nmanaged=")
		r.record("inside", p.inside(s.arg(3)))
		p.ours(r)
	}
	for _, name := range s.argv()[3:] {
		r.record("address", name)
	}
	r.record("host", fmt.Sprintf("now=%d", time.Now().Unix()))
	r.record("end", "")
	return reply{out: r.Bytes()}
}

// inside is what tasks/postgres_reader.sh prints.
func (p *postgresServer) inside(served string) string {
	r := &records{}
	r.record("pidfile", "5432\n/var/run/postgresql\n*\nready   ")
	r.record("sql", "0\n"+p.sql())
	for _, f := range p.files(p.upcoming()) {
		record, kind := "file", f[0]
		if kind == "text" {
			record = "config"
		}
		d := p.host.disk[f[1]]
		if d == nil {
			r.record(record, fmt.Sprintf("%s missing %s\nstat: cannot statx '%s': No such file or directory", kind, f[1], f[1]))
			continue
		}
		size := len(d.data)
		if kind == "key" {
			size = 0
		}
		r.record(record, fmt.Sprintf("%s found %d %o %s %s %d.%09d %s\n%s", kind, size, d.mode, d.owner.name, d.group, d.mtime.Unix(), d.mtime.Nanosecond(), f[1], d.data))
	}
	if served != "unseen" {
		r.record("served", p.served())
	} else {
		r.record("unseen", "")
	}
	return r.String()
}

// ours tells of pgfleet's own folder.
func (p *postgresServer) ours(r *records) {
	d, dir := p.host.disk, path.Dir(oursFile)
	if f := d[oursFile]; f != nil {
		r.record("ours", fmt.Sprintf("%s %d.%09d\n%s", dir, f.mtime.Unix(), f.mtime.Nanosecond(), f.data))
	}
	for _, run := range d.below(dir + "/.undo") {
		u := dir + "/.undo/" + run
		state := "unproved"
		if d[u+"/proved"] != nil {
			state = "proved"
		}
		r.record("undo", fmt.Sprintf("%s %s %s %s", dir, run, state, strings.TrimSpace(string(d.text(u+"/proving")))))
	}
}

func (h *Host) settings(s *step) reply {
	dir, conf, include := s.arg(2), s.arg(3), s.arg(8)
	h.disk.dir(dir, root, 0o755)
	changed := []string{dir + "/pgfleet.conf"}
	if include == "yes" {
		changed = append(changed, conf)
	}
	h.keepBefore(dir, s.arg(6), changed...)
	h.disk.put(dir+"/pgfleet.conf", s.stdin, root, 0o644)
	if include == "yes" {
		f := h.disk[conf]
		h.disk.put(conf, pg.WithInclude(f.data, dir+"/pgfleet.conf"), f.owner, f.mode)
	}
	return reply{}
}

func (h *Host) hba(s *step) reply {
	path := s.arg(2)
	f := h.disk[path]
	if sum := sha256.Sum256(f.data); !strings.Contains(s.arg(3), hex.EncodeToString(sum[:])) {
		return failed(path + " was changed by somebody else since it was looked at; nothing was written, run again")
	}
	h.keepBefore(s.arg(4), s.arg(5), path)
	h.disk.put(path, s.stdin, f.owner, f.mode).group = f.group
	return reply{}
}

func (h *Host) reload(*step) reply {
	h.postgres.read()
	return reply{}
}

func (h *Host) reloadProving(s *step) reply {
	h.postgres.read()
	return h.proving(s.arg(4), s.arg(5))
}

// reloading is a program joined with the reload, and its note, that follow it: their words are the last four.
func reloading(program func(*Host, *step) reply) func(*Host, *step) reply {
	return func(h *Host, s *step) reply {
		if r := program(h, s); r.code != 0 {
			return r
		}
		h.postgres.read()
		return h.proving(s.arg(len(s.argv())-1), s.arg(len(s.argv())))
	}
}

var createRole = regexp.MustCompile(`(?m)^(create|alter) role "([^"]+)" login;$`)

func (h *Host) makeRoles(s *step) reply {
	for _, m := range createRole.FindAllStringSubmatch(string(s.stdin), -1) {
		if m[1] != "create" {
			return failed("simulated host: only new roles are in the model")
		}
		h.postgres.roles = append(h.postgres.roles, m[2])
	}
	return reply{}
}

// keepBefore is undo_copy.sh.
func (h *Host) keepBefore(dir, run string, paths ...string) {
	folder := dir + "/.undo/" + run
	for n := 2; h.disk[folder+"/proved"] != nil; n++ {
		folder = fmt.Sprintf("%s/.undo/%s~%d", dir, run, n)
	}
	h.disk.dir(folder, root, 0o700)
	list := string(h.disk.text(folder + "/manifest"))
	for _, p := range paths {
		if !strings.Contains(list, " "+p+"\n") {
			list += "- - - - " + p + "\n"
		}
	}
	h.disk.put(folder+"/manifest", []byte(list), root, 0o600)
}

func (h *Host) undoProving(s *step) reply { return h.proving(s.arg(2), s.arg(3)) }

func (h *Host) proving(dir, by string) reply {
	for _, run := range h.disk.below(dir + "/.undo") {
		if f := dir + "/.undo/" + run; h.disk[f+"/proved"] == nil {
			h.disk.put(f+"/proving", []byte(by+"\n"), root, 0o600)
		}
	}
	return reply{}
}

func (h *Host) undoProved(s *step) reply {
	for _, run := range h.disk.below(s.arg(2) + "/.undo") {
		name, _, _ := strings.Cut(run, "~")
		if has(s.argv()[3:], name) {
			h.disk.put(s.arg(2)+"/.undo/"+run+"/proved", nil, root, 0o600)
		}
	}
	return reply{}
}
