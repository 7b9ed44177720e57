package tasks

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/postgres"
)

// serverFacts is the row "server" of the probe's SQL.
type serverFacts struct {
	Version   int    `json:"version"`
	Standby   bool   `json:"standby"`
	Load      string `json:"load"`
	Start     string `json:"start"`
	Superuser string `json:"superuser"`
	User      string `json:"user"`
}

type settingRow struct {
	Value, Unit, Type, Source, File, Context string
	Line                                     int
	Pending                                  bool
}

type lineRow struct {
	File, Name, Value string
	Line              int
	Applied, Restart  bool
	Error             string
}

type hbaRow struct {
	Line  int    `json:"line_number"`
	File  string `json:"file_name"`
	Error string `json:"error"`
}

type roleRow struct {
	Name                                                string
	Login, Super, Replication, Password, Scram, Expired bool
	Groups                                              []string
}

type sessionRow struct {
	User, Database, Address, DN, Serial, Issuer string
	TLS                                         bool
}

// readAnswer takes psql's exit code and lines "topic\tjson".
func (c *Cluster) readAnswer(body []byte) error {
	code, text, _ := strings.Cut(string(body), "\n")
	var complaints []string
	seen := map[string]bool{}
	for _, line := range strings.Split(text, "\n") {
		topic, value, ok := strings.Cut(line, "\t")
		switch {
		case ok && topic == "file":
		case ok && c.knowsTopic(topic):
			if err := c.readTopic(topic, []byte(value)); err != nil {
				return fmt.Errorf("answer %s: %w", topic, err)
			}
			seen[topic] = true
		case line != "":
			complaints = append(complaints, line)
		}
	}
	for _, topic := range []string{"server", "settings", "lines", "hba", "roles", "databases", "sessions"} {
		if !seen[topic] {
			c.problem(fmt.Sprintf("its server runs but could not be asked as %s through %s, port %d (psql's code %s): %s; %s", c.OSUser, c.SocketDir, c.Port, code,
				strings.Join(complaints, "; "), c.letIn(complaints)))
			return nil
		}
	}
	c.fillPaths()
	return nil
}

// letIn says what lets a server be asked that said something else.
func (c *Cluster) letIn(complaints []string) string {
	said := strings.Join(complaints, "\n")
	for _, known := range []struct{ text, advice string }{
		{"too many clients", "all of its connections are in use, those for superusers too: end some (pg_terminate_backend, or the programs that hold them), or raise max_connections, then run again"},
		{`database "postgres" does not exist`, "that database is asked whatever the server is for: make it again (createdb -T template0 postgres)"},
		{"Hot standby mode is disabled", "set hot_standby = on there and restart it, or leave the host out"},
		{"the database system is ", "wait until it is ready, then run again"},
	} {
		if strings.Contains(said, known.text) {
			return known.advice
		}
	}
	return "that OS user has to be let in as a superuser of the same name, into the database postgres, without being asked (local all " + c.OSUser +
		" peer as first line of pg_hba.conf, or a ~/.pgpass)"
}

func (c *Cluster) knowsTopic(topic string) bool {
	switch topic {
	case "server", "settings", "lines", "hba", "roles", "databases", "sessions", "replication":
		return true
	}
	return false
}

func (c *Cluster) readTopic(topic string, value []byte) error {
	switch topic {
	case "server":
		return c.readServer(value)
	case "settings":
		rows := map[string]settingRow{}
		if err := json.Unmarshal(value, &rows); err != nil {
			return err
		}
		for name, r := range rows {
			c.Settings[name] = Setting{Value: r.Value, SourceFile: r.File, SourceLine: r.Line, PendingRestart: r.Pending,
				Unit: r.Unit, Type: r.Type, Source: r.Source, Context: r.Context}
		}
		return nil
	case "lines":
		return c.readLines(value)
	case "hba":
		return c.readHBAErrors(value)
	case "roles":
		var rows []roleRow
		if err := json.Unmarshal(value, &rows); err != nil {
			return err
		}
		for _, r := range rows {
			c.Roles = append(c.Roles, Role{Name: r.Name, Login: r.Login, Superuser: r.Super, Replication: r.Replication,
				HasPassword: r.Password, Scram: r.Scram, ValidUntilPast: r.Expired, Groups: r.Groups})
		}
		return nil
	case "databases":
		return json.Unmarshal(value, &c.Databases)
	case "replication":
		return json.Unmarshal(value, &c.Replication)
	default:
		return c.readSessions(value)
	}
}

func (c *Cluster) readServer(value []byte) error {
	var facts serverFacts
	if err := json.Unmarshal(value, &facts); err != nil {
		return err
	}
	c.VersionNum, c.Standby, c.LoadTime = facts.Version, facts.Standby, unixTime(facts.Load)
	if facts.Load != "" && facts.Start != "" {
		c.since = facts.Load + " " + facts.Start
	}
	if facts.Superuser != "on" {
		c.problem(fmt.Sprintf("the role %s, as which its OS user logs in, is not a superuser", facts.User))
	}
	return nil
}

func (c *Cluster) readLines(value []byte) error {
	var rows []lineRow
	if err := json.Unmarshal(value, &rows); err != nil {
		return err
	}
	for _, r := range rows {
		c.Lines = append(c.Lines, FileLine{File: r.File, Line: r.Line, Name: postgres.Canonical(r.Name, c.Major), Value: r.Value, Applied: r.Applied, Error: r.Error, Restart: r.Restart})
		if r.Error != "" && !r.Restart {
			c.FileErrors = append(c.FileErrors, fmt.Sprintf("%s:%d: %s: %s", r.File, r.Line, r.Name, r.Error))
		}
	}
	return nil
}

func (c *Cluster) readHBAErrors(value []byte) error {
	var rows []hbaRow
	if err := json.Unmarshal(value, &rows); err != nil {
		return err
	}
	for _, r := range rows {
		if r.File == "" {
			r.File = c.Settings["hba_file"].Value
		}
		if r.Error == "" {
			r.Error = "the server does not accept this line (it does not say why)"
		}
		c.HBAErrors = append(c.HBAErrors, fmt.Sprintf("%s:%d: %s", r.File, r.Line, r.Error))
	}
	return nil
}

func (c *Cluster) readSessions(value []byte) error {
	var rows []sessionRow
	if err := json.Unmarshal(value, &rows); err != nil {
		return err
	}
	for _, r := range rows {
		c.Sessions = append(c.Sessions, Session{User: r.User, Database: r.Database, Address: r.Address, TLS: r.TLS, CertCN: r.DN, Serial: r.Serial, Issuer: r.Issuer})
	}
	return nil
}
