package main

import (
	"bufio"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// machine is where the figures are from.
type machine struct {
	Cores  int    `json:"cores"`
	CPU    string `json:"cpu"`
	Memory string `json:"memory"`
	Kernel string `json:"kernel"`
	// Load is the load average over a minute before the benchmark began: what else the machine did.
	Load     string   `json:"load"`
	Versions []string `json:"versions"`
}

func thisMachine() machine {
	m := machine{Cores: runtime.NumCPU(), CPU: colonValue("/proc/cpuinfo", "model name"), Memory: colonValue("/proc/meminfo", "MemTotal"), Kernel: firstLine("uname", "-sr"), Load: firstLine("cut", "-d ", "-f1", "/proc/loadavg")}
	for _, argv := range [][]string{
		{"git", "describe", "--always", "--dirty"},
		{"go", "version"},
		{"ssh", "-V"},
		{"openssl", "version"},
		{"sh", "-c", "/usr/lib/postgresql/*/bin/postgres --version"},
		{"dpkg-query", "-W", "-f", "ansible ${Version}", "ansible"},
		{"dpkg-query", "-W", "-f", "ansible-core ${Version}", "ansible-core"},
		{"dpkg-query", "-W", "-f", "ansible-mitogen ${Version}", "ansible-mitogen"},
		{"/usr/bin/python3", "--version"},
	} {
		if line := firstLine(argv...); line != "" {
			if argv[0] == "git" {
				line = "pgfleet " + line
			}
			m.Versions = append(m.Versions, line)
		}
	}
	return m
}

// firstLine is what a command prints first; "" where it cannot run.
func firstLine(argv ...string) string {
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}

// colonValue is the first value of a key in one of /proc's lists.
func colonValue(path, key string) string {
	f, err := os.Open(path)
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, value, found := strings.Cut(lines.Text(), ":"); found && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
