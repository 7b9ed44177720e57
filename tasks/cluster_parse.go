package tasks

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

func clipText(text string) string {
	if len(text) > 60 {
		return text[:60] + "…"
	}
	return text
}

// probed is the state of reading one probe's records.
type probed struct {
	now      time.Time
	clusters []*Cluster
	resolved map[string][]string
}

// parseClusters reads what postgres_probe.sh printed.
func parseClusters(out []byte) ([]*Cluster, error) {
	records, err := readRecords(out)
	if err != nil {
		return nil, err
	}
	s := &probed{resolved: map[string][]string{}}
	var later []record
	for _, r := range records {
		switch r.name {
		case "host":
			s.now = unixTime(keyValues(r.body)["now"])
		case "cluster":
			s.clusters = append(s.clusters, newCluster(keyValues(r.body)))
		case "ours", "undo", "rules":
			later = append(later, r)
		case "address":
			name, lines, _ := strings.Cut(string(r.body), "\n")
			for line := range strings.Lines(lines) {
				if f := strings.Fields(line); len(f) > 0 && !slices.Contains(s.resolved[name], f[0]) {
					s.resolved[name] = append(s.resolved[name], f[0])
				}
			}
		case "end":
		default:
			if len(s.clusters) == 0 {
				return nil, fmt.Errorf("record %q belongs to no cluster", clipText(r.name))
			}
			s.clusters[len(s.clusters)-1].take(r)
		}
	}
	for _, c := range s.clusters {
		c.findOwnConfig()
		c.checkPaths()
	}
	s.clusters = nameClusters(s.clusters)
	for _, c := range s.clusters {
		c.Now, c.Resolved = s.now, s.resolved
		for _, r := range later {
			c.readOurs(r)
		}
	}
	return s.clusters, nil
}

// keyValues reads lines "key=value".
func keyValues(body []byte) map[string]string {
	out := map[string]string{}
	for _, line := range strings.Split(string(body), "\n") {
		if name, value, ok := strings.Cut(line, "="); ok {
			out[name] = value
		}
	}
	return out
}

func newCluster(kv map[string]string) *Cluster {
	c := &Cluster{DataDir: kv["data"], ConfigFile: kv["config"], BinDir: kv["bin"], OSUser: kv["user"], OSGroup: kv["group"], OSIDs: kv["ids"], Start: kv["start"],
		Managed: kv["managed"], Stranger: kv["stranger"] == "yes", Running: kv["state"] == "running",
		Settings: map[string]Setting{}, Files: map[string]HostFile{}, Beside: map[string]HostFile{}, ConfigFiles: map[string]HostFile{}}
	c.setMajor(kv["major"])
	c.PID, _ = strconv.Atoi(kv["pid"])
	return c
}

// setMajor takes the content of PG_VERSION.
func (c *Cluster) setMajor(text string) {
	c.Major, _ = strconv.Atoi(text)
	if c.Major > 0 && c.Major < 12 {
		c.problem(fmt.Sprintf("PostgreSQL %d is too old: 12 or later is needed", c.Major))
	}
}

// problem notes the first reason why a cluster cannot be worked on.
func (c *Cluster) problem(text string) {
	if c.Problem == "" {
		c.Problem = strings.TrimSpace(text)
	}
}

// take takes a record that root printed: what is wrong with it, or in what the cluster's OS user printed, is the cluster's problem alone.
func (c *Cluster) take(r record) {
	if r.name != "inside" {
		if err := c.read(r); err != nil {
			c.problem("what the probe printed of it cannot be read: " + err.Error())
		}
		return
	}
	list, err := readRecords(r.body)
	if errors.Is(err, errNoEnd) {
		list, err = withBodies(list)
	}
	for i := 0; i < len(list) && err == nil; i++ {
		err = c.read(list[i])
	}
	if err != nil {
		c.problem(fmt.Sprintf("what its OS user %s printed of it cannot be read (changed in between? run again): %v", c.OSUser, err))
	}
}

// checkTold refuses a server of which its OS user told nothing, because nothing could be run as that user: without it not even the version is known. said is what
// the probe wrote to its error output.
func (c *Cluster) checkTold(said []byte) {
	if !c.Running || c.Stranger || c.Major > 0 {
		return
	}
	why, _, _ := strings.Cut(strings.TrimSpace(string(said)), "\n")
	if why == "" {
		why = "was what asked it ended?"
	}
	c.problem(fmt.Sprintf("the server in %s runs, but nothing was told of it as OS user %s (%s); see on the host whether that user can run programs: limits of processes and memory, an expired account",
		c.DataDir, c.OSUser, why))
}

// read takes one record of a cluster.
func (c *Cluster) read(r record) error {
	switch r.name {
	case "problem":
		c.problem(string(r.body))
	case "pidfile":
		c.readPidFile(strings.Split(string(r.body), "\n"))
	case "major":
		c.setMajor(string(r.body))
	case "sql":
		return c.readAnswer(r.body)
	case "stopped":
		c.readStopped(keyValues(r.body))
	case "config":
		return c.readConfigFile(r.body)
	case "file":
		f, _, err := readFileRecord(r.body)
		if err != nil {
			return err
		}
		c.Files[f.Path] = f
	case "beside":
		f, _, err := readFileRecord(r.body)
		if err != nil {
			return err
		}
		c.Beside[path.Base(f.Path)] = f
	case "served":
		c.readServed(r.body)
	case "noted":
		return c.readNoted(r.body)
	case "unseen":
		c.ServedProblem = notLookedAt
	case "running":
	default:
		return fmt.Errorf("record %q is not known", clipText(r.name))
	}
	return nil
}

func (c *Cluster) readPidFile(lines []string) {
	for len(lines) < 4 {
		lines = append(lines, "")
	}
	c.Port, _ = strconv.Atoi(lines[0])
	c.SocketDir = lines[1]
	if status := strings.TrimSpace(lines[3]); status != "" && status != "ready" && status != "standby" {
		c.problem("the server is " + status + "; wait until it is ready")
	}
}

// readStopped takes the answers of postgres -C.
func (c *Cluster) readStopped(kv map[string]string) {
	for name, value := range kv {
		c.Settings[name] = Setting{Value: value}
	}
	c.Settings["config_file"] = Setting{Value: c.ConfigFile}
	if dir := kv["data_directory"]; dir != "" {
		c.DataDir = dir
	}
	c.Port, _ = strconv.Atoi(kv["port"])
	c.fillPaths()
}

// fillPaths sets what the settings say of the cluster's places.
func (c *Cluster) fillPaths() {
	c.ListenAddresses = c.Settings["listen_addresses"].Value
	for name, field := range map[string]*string{"config_file": &c.ConfigFile, "hba_file": &c.HBAFile, "ident_file": &c.IdentFile} {
		if value := c.Settings[name].Value; value != "" {
			*field = c.absolute(value)
		}
	}
	if first, _, _ := strings.Cut(c.Settings["unix_socket_directories"].Value, ","); c.SocketDir == "" {
		c.SocketDir = strings.Trim(strings.TrimSpace(first), `"`)
	}
}

// absolute makes a path absolute as the server does: below the data directory.
func (c *Cluster) absolute(p string) string {
	if p == "" || path.IsAbs(p) {
		return p
	}
	return c.DataDir + "/" + p
}

// readOurs takes what lies in pgfleet's own folder, when it is this cluster's.
func (c *Cluster) readOurs(r record) {
	head, content, _ := strings.Cut(string(r.body), "\n")
	dir, rest, _ := strings.Cut(head, " ")
	switch {
	case dir != c.Dir:
	case r.name == "undo":
		c.readCopy(strings.Split(rest, " "))
	case r.name == "rules":
		c.readRules(strings.Split(rest, " "))
	default:
		c.Ours, c.OursTime = []byte(content), unixTime(rest)
	}
}

// readCopy takes folder, state and proving run of one copy; folders of one run are "run", "run~2", ….
func (c *Cluster) readCopy(words []string) {
	for len(words) < 3 {
		words = append(words, "")
	}
	run, _, _ := strings.Cut(words[0], "~")
	c.Copies = append(c.Copies, Copy{Run: run, State: words[1], Proving: words[2]})
	if words[1] == "unproved" && indexOf(c.Undo, run) < 0 {
		c.Undo = append(c.Undo, run)
	}
}

// readRules takes stage, digest and run of the note that postgres_hba has left.
func (c *Cluster) readRules(words []string) {
	if len(words) == 3 {
		c.Rules = RulesNote{Stage: words[0], Digest: words[1], Run: words[2]}
	}
}
