package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// The steps that tools have in common; the others are pgfleet's own.
const (
	firstRun  = "first run"
	secondRun = "second run"
)

// step is one measured command of a tool.
type step struct {
	name string
	argv func(f *fleet) []string
	// fresh: the hosts are reset before it.
	fresh bool
	// verified: its result has to pass before its time counts.
	verified bool
	// unchanged: it has to say that it changed nothing.
	unchanged bool
}

// tool is one way to do the job. Its steps follow each other on the same hosts.
type tool struct {
	name  string
	steps []step
	env   func(f *fleet) []string
	// read takes from standard output what the tool says about itself.
	read func(out string, s *sample) error
}

// The tools; the first is what the others are compared with.
const pgfleetNone = "pgfleet"

var tools = []tool{
	{
		name: pgfleetNone, read: readEvents, env: noEnv,
		steps: job(pgfleet("run", "playbooks/mtls.yaml", "-e", "verify=none", "-e", "prove=none", "--accept-refusals")),
	},
	{
		name: "pgfleet, quick verify", read: readEvents, env: noEnv,
		steps: append(append([]step{{name: "--check", argv: pgfleet("run", "playbooks/mtls.yaml", "--check"), fresh: true}},
			job(pgfleet("run", "playbooks/mtls.yaml", "-e", "verify=quick"))...),
			step{name: "verify", argv: pgfleet("verify"), unchanged: true}),
	},
	{name: "OpenSSH script", read: readScript, env: noEnv, steps: job(script)},
	{name: "Ansible", read: readRecap, env: ansibleEnv, steps: job(ansible)},
	{name: "Ansible + Mitogen", read: readRecap, env: mitogenEnv, steps: job(ansible)},
}

func toolNames() []string {
	var names []string
	for _, t := range tools {
		names = append(names, strconv.Quote(t.name))
	}
	return names
}

// job is the same command twice: from fresh hosts, and with nothing left to do.
func job(argv func(*fleet) []string) []step {
	return []step{
		{name: firstRun, argv: argv, fresh: true, verified: true},
		{name: secondRun, argv: argv, verified: true, unchanged: true},
	}
}

func pgfleet(words ...string) func(*fleet) []string {
	return func(f *fleet) []string {
		return append([]string{"bin/pgfleet", "-i", filepath.Join(f.lab.Folder(), "inventory.yaml")}, append(words, "-o", "jsonl")...)
	}
}

func script(f *fleet) []string {
	return []string{"bench/floor/mtls.sh", filepath.Join(f.lab.Folder(), "ssh_config"), filepath.Join(f.work, "hosts.txt")}
}

func ansible(f *fleet) []string {
	return []string{"/usr/bin/ansible-playbook", "-i", filepath.Join(f.work, "hosts.ini"), "bench/ansible/mtls.yaml"}
}

func noEnv(*fleet) []string { return nil }

func ansibleEnv(f *fleet) []string {
	return []string{"ANSIBLE_CONFIG=bench/ansible/ansible.cfg", "ANSIBLE_HOME=" + filepath.Join(f.work, "ansible"), "ANSIBLE_LOCAL_TEMP=" + filepath.Join(f.work, "ansible/tmp"), "ANSIBLE_SSH_CONTROL_PATH_DIR=" + filepath.Join(f.work, "cp")}
}

func mitogenEnv(f *fleet) []string {
	return append(ansibleEnv(f), "ANSIBLE_STRATEGY_PLUGINS=/usr/lib/python3/dist-packages/ansible_mitogen/plugins/strategy", "ANSIBLE_STRATEGY=mitogen_linear")
}

// command gives a step as a process.
func (t tool) command(f *fleet, s step) *exec.Cmd {
	argv := s.argv(f)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(append(os.Environ(), "LC_ALL=C.UTF-8", "ANSIBLE_NOCOLOR=1"), t.env(f)...)
	return cmd
}

// line is a step as one would type it, with the tool's own environment.
func (t tool) line(f *fleet, s step) string {
	text := strings.Join(append(t.env(f), s.argv(f)...), " ")
	text = strings.ReplaceAll(text, f.work, "WORK")
	return strings.ReplaceAll(text, f.lab.Folder(), "LAB")
}

// readEvents takes pgfleet's own figures from its events.
func readEvents(out string, s *sample) error {
	s.Changed, s.RoundTrips = 0, 0
	lines := bufio.NewScanner(strings.NewReader(out))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e struct {
			Type string
			Data struct {
				Changed    int
				RoundTrips int `json:"round_trips"`
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("read event %q: %w", lines.Text(), err)
		}
		if e.Type == "host" {
			s.Changed += e.Data.Changed
			s.RoundTrips = max(s.RoundTrips, e.Data.RoundTrips)
		}
	}
	return lines.Err()
}

var (
	recapLine  = regexp.MustCompile(`(?m)^\S+ +: ok=\d+ +changed=(\d+) +unreachable=0 +failed=0 `)
	scriptLine = regexp.MustCompile(`(?m)^\S+ changed=(\d+)$`)
)

// readRecap takes the changes from Ansible's last table.
func readRecap(out string, s *sample) error { return sumOf(recapLine, out, s) }

// readScript takes them from the script's line for each host.
func readScript(out string, s *sample) error { return sumOf(scriptLine, out, s) }

func sumOf(line *regexp.Regexp, out string, s *sample) error {
	found := line.FindAllStringSubmatch(out, -1)
	if found == nil {
		return fmt.Errorf("no host's result in its output")
	}
	s.Changed = 0
	for _, m := range found {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return fmt.Errorf("read changes: %w", err)
		}
		s.Changed += n
	}
	return nil
}
