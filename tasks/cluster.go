package tasks

import "time"

// KeyPostgres is the view key of the probe that finds every PostgreSQL cluster of a host with its files and settings.
const KeyPostgres = "postgres"

// Cluster is one PostgreSQL cluster as the probe found it.
type Cluster struct {
	// ID: "15/main" as Debian names it; elsewhere "<major>/<last part of the data directory>".
	ID string
	// Major version (15) and server_version_num (150018); the latter 0 when it is stopped.
	Major, VersionNum int
	// Running: answers SQL through its socket. Standby: in recovery.
	Running, Standby bool
	// Port and SocketDir (first of unix_socket_directories).
	Port      int
	SocketDir string
	// ListenAddresses as set.
	ListenAddresses string
	// OSUser and OSGroup run it ("postgres").
	OSUser, OSGroup string
	// OSIDs are OSUser's ids, "uid:gid"; "" where they were not found out.
	OSIDs string
	// DataDir, ConfigFile, HBAFile, IdentFile: absolute paths. ConfigFile is the one that can be changed: with Patroni its postgresql.base.conf.
	DataDir, ConfigFile, HBAFile, IdentFile string
	// BinDir holds the real psql and postgres.
	BinDir string
	// Dir is pgfleet's own folder for it: /etc/pgfleet/15-main, root-owned.
	Dir string
	// Config, HBA, Ident are the files' bytes. Ours: our settings file (Dir/pgfleet.conf), nil when there is none.
	Config, HBA, Ident, Ours []byte
	// PID of the postmaster, 0 when stopped. Start is when it was started, in the kernel's clock ticks ("" when stopped): with PID it tells it from any other.
	PID   int
	Start string
	// OursTime is when Ours was last written. ConfigFiles: the files whose bytes are Config, HBA and Ident, by path.
	OursTime    time.Time
	ConfigFiles map[string]HostFile
	// Settings of pg_settings that matter here, by name. When stopped: what postgres -C says of a few, values only.
	Settings map[string]Setting
	// FileErrors: rows of pg_file_settings with an error ("file:line: name: text"). HBAErrors: broken lines of pg_hba_file_rules.
	FileErrors, HBAErrors []string
	// Lines are the rows of pg_file_settings for names that begin with ssl or stand in Ours.
	Lines []FileLine
	// Roles and Databases of a running cluster.
	Roles     []Role
	Databases []string
	// Files in force or about to be (certificates, CA files, CRLs named by Settings or Ours): by path, public bytes. For a key
	// file Bytes is the public key in PEM, never the key.
	Files map[string]HostFile
	// Beside: certificates and lists (*.crt, *.crl) in the data directory itself, by name, whoever uses them.
	Beside map[string]HostFile
	// Served: DER certificates that the running server presents on Port to a new TLS connection, leaf first; nil: no TLS. Where a note of what it was seen to serve
	// suffices (PostgresProbe), without what it added to those of its file.
	Served [][]byte
	// ServedCAs: names of the authorities from which it asks for certificates, as pkix.RDNSequence.String gives them.
	ServedCAs []string
	// ServedProblem says why Served could not be seen ("" when it could, or when there is no TLS to see).
	ServedProblem string
	// Resolved: addresses by name, as this host resolves them, for the names that PostgresProbe asked about.
	Resolved map[string][]string
	// LoadTime is pg_conf_load_time(). Now is the host's clock at the probe.
	LoadTime, Now time.Time
	// since is when it read its files last and when it was started, as the server writes both; "" when stopped.
	since string
	// Managed names the tool that runs the cluster ("patroni"), "" when none was found. patroniFile is the postgresql.conf that it writes where ConfigFile is the one that
	// it leaves alone, "" elsewhere.
	Managed     string
	patroniFile string
	// Replication is whom a running cluster belongs to and streams from.
	Replication Replication
	// Sessions now: distinct (user, database, client address, ssl) of pg_stat_activity.
	Sessions []Session
	// Undo: run ids with an unproved manifest under Dir/.undo, oldest first.
	Undo []string
	// Copies: every copy of files from before a run that is kept, oldest first.
	Copies []Copy
	// Rules is what was noted of pgfleet's block of pg_hba.conf when it was written last.
	Rules RulesNote
	// Stranger: it belongs to an OS user that no package makes for PostgreSQL, and the inventory names no clusters, so it was not asked. Any local
	// user can run such a server; it gets nothing from pgfleet.
	Stranger bool
	// Problem says why this cluster cannot be worked on ("" when it can).
	Problem string
}

// Setting is one row of pg_settings.
type Setting struct {
	Value, SourceFile string
	SourceLine        int
	PendingRestart    bool
	// Unit ("8kB", ""), Type (vartype), Source ("configuration file", "command line", …), Context ("sighup", "postmaster", …).
	Unit, Type, Source, Context string
}

// FileLine is one row of pg_file_settings.
type FileLine struct {
	File        string
	Line        int
	Name, Value string
	// Applied: no later line has the same name, and the value is accepted. Error: what the server says against it.
	Applied bool
	Error   string
	// Restart: the line waits for a restart, which PostgreSQL reports as an error too.
	Restart bool
}

// Role is one database role.
type Role struct {
	Name                               string
	Login, Superuser, Replication      bool
	HasPassword, Scram, ValidUntilPast bool
	// Groups that it is a direct member of.
	Groups []string
}

// Session is one kind of connection that is open now.
type Session struct {
	User, Database, Address string
	TLS                     bool
	// CertCN is the client certificate's subject, Serial its serial number in decimal digits, Issuer its issuer, as pg_stat_ssl gives them: names are cut
	// after 63 bytes.
	CertCN, Serial, Issuer string
}

// Replication is what a running cluster says of replication.
type Replication struct {
	// System is the system identifier: the same for a primary and all its standbys.
	System string
	// ConnInfo is primary_conninfo as it is in force, by Source ("configuration file", "command line"); it may hold a password. Context is "postmaster" before
	// version 13.
	ConnInfo, Source, Context string
	// Written is what Line of File says now; it comes into force with a restart where Pending.
	Written, File string
	Line          int
	Pending       bool
}

// HostFile is a file on a host.
type HostFile struct {
	Path, Owner, Group string
	Mode               uint32
	ModTime            time.Time
	Bytes              []byte
	Missing            bool
	// Link is where a symbolic link leads to; only in Beside, elsewhere the file behind it is told of.
	Link string
	// Readable: the cluster's OS user can read it.
	Readable bool
}

// Copy is what is kept of a cluster's files from before a run changed them.
type Copy struct {
	// Run that changed the files. State: unproved, proved or undone. Proving: the run that is about to prove it, "" when none is.
	Run, State, Proving string
}

// RulesNote says what pgfleet wrote into pg_hba.conf last: the stage, a digest of the block (survey.Digest) and the run. Stage "": nothing is noted.
type RulesNote struct{ Stage, Digest, Run string }
