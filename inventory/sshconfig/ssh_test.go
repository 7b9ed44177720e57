package sshconfig

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// compared are the directives whose answers must be those of ssh itself.
var compared = []string{"hostname", "user", "port", "identityfile", "certificatefile", "userknownhostsfile", "globalknownhostsfile",
	"proxyjump", "proxycommand", "hostkeyalias", "connecttimeout", "serveraliveinterval", "identitiesonly", "identityagent"}

// TestAgainstSSH asks pgfleet and the real ssh for every host that the case files name ("# ask: [-o X=Y] host").
func TestAgainstSSH(t *testing.T) {
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("ssh is not installed, and in CI this comparison must not be skipped")
		}
		t.Skip("ssh is not installed")
	}
	cases, err := filepath.Glob("testdata/*.conf")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range cases {
		config, asks := prepare(t, path)
		if len(asks) == 0 {
			t.Errorf("%s asks nothing", path)
		}
		for _, ask := range asks {
			t.Run(filepath.Base(path)+"/"+ask, func(t *testing.T) { compare(t, ssh, config, ask) })
		}
	}
}

// prepare writes a case, and what it includes, to files of its own and gives what it asks. ssh refuses files that are another user's, as those of a checkout are for
// root, or that a group may write.
func prepare(t *testing.T, path string) (config string, asks []string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "inc"), 0o700); err != nil {
		t.Fatal(err)
	}
	included, err := filepath.Glob("testdata/inc/*")
	if err != nil || len(included) == 0 {
		t.Fatalf("nothing to include: %v", err)
	}
	for _, path := range included {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "inc", filepath.Base(path)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range strings.Split(string(data), "\n") {
		if ask, ok := strings.CutPrefix(line, "# ask: "); ok {
			asks = append(asks, ask)
		}
	}
	config = filepath.Join(dir, "config")
	if err := os.WriteFile(config, bytes.ReplaceAll(data, []byte("@DIR@"), []byte(dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	return config, asks
}

func compare(t *testing.T, ssh, config, ask string) {
	query, args := readAsk(ask)
	want := sshSays(t, ssh, config, args)
	plain := sshSays(t, ssh, "/dev/null", args)
	me, err := user.LookupId(strconv.Itoa(os.Getuid())) // ssh too takes the home folder from there, not from $HOME
	if err != nil {
		t.Fatal(err)
	}
	c, err := Load(config, me.HomeDir, me.Username)
	if err != nil {
		t.Fatal(err)
	}
	a := c.Resolve(query)
	if len(a.Mistakes) > 0 || len(a.Unsure) > 0 {
		t.Errorf("mistakes %v, unsure %v", a.Mistakes, a.Unsure)
	}
	for _, key := range compared {
		got := said(a, key)
		if got == nil {
			got = plain[key] // nothing said: ssh must give its default
		}
		if key == "hostname" && query.HostName != "" || key == "proxyjump" && query.Jump {
			continue // decided by the question
		}
		if diff := cmp.Diff(want[key], got); diff != "" {
			t.Errorf("%s (-ssh +pgfleet):\n%s", key, diff)
		}
	}
}

func readAsk(ask string) (Query, []string) {
	var q Query
	var args []string
	rest := ask
	for strings.HasPrefix(rest, "-o ") {
		option, tail, _ := strings.Cut(rest[3:], " ")
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "HostName":
			q.HostName = value
		case "User":
			q.User = value
		case "ProxyJump":
			q.Jump = true
		}
		args = append(args, "-o", option)
		rest = tail
	}
	q.Host = rest
	return q, append(args, rest)
}

// sshSays gives the lines of ssh -G by keyword.
func sshSays(t *testing.T, ssh, config string, args []string) map[string][]string {
	t.Helper()
	cmd := exec.Command(ssh, append([]string{"-G", "-F", config}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ssh -G %v: %v\n%s", args, err, stderr.String())
	}
	says := map[string][]string{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), " ")
		says[key] = append(says[key], value)
	}
	return says
}

// said gives what pgfleet understood, in the form of ssh -G; nil: nothing was said.
func said(a *Answer, key string) []string {
	switch key {
	case "hostname":
		return []string{a.HostName}
	case "user":
		return []string{a.User}
	case "port":
		return []string{strconv.Itoa(a.Port)}
	case "connecttimeout", "serveraliveinterval":
		if d := a.Duration(key); d > 0 {
			return []string{strconv.Itoa(int(d.Seconds()))}
		}
		return nil
	case "identitiesonly":
		if a.Values[key] == nil {
			return nil
		}
		return []string{map[bool]string{true: "yes", false: "no"}[a.Bool(key)]}
	case "proxyjump":
		if jumps := a.Jumps(); jumps != nil {
			return []string{strings.ReplaceAll(strings.Join(jumps, ","), "ssh://", "")} // ssh writes its first form
		}
		return nil
	case "proxycommand":
		if v, ok := a.Command(); ok {
			return []string{v.Rest}
		}
		return nil
	}
	if key == "userknownhostsfile" { // ssh gives these with ~ and tokens filled
		if paths, named := a.Paths(key); named {
			if len(paths) == 0 {
				paths = []string{"none"}
			}
			return []string{strings.Join(paths, " ")}
		}
		return nil
	}
	var out []string
	for _, v := range a.Values[key] {
		if key == "globalknownhostsfile" {
			out = append(out, strings.Join(v.Args, " "))
			continue
		}
		out = append(out, v.Args...)
	}
	return out
}

func TestMistakes(t *testing.T) {
	cases := map[string]string{
		"quote":       "Host a\n  User \"x\n",
		"no argument": "Host a\n  Port\n",
		"loop":        "Include @SELF@\n",
	}
	for name, text := range cases {
		path := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "@SELF@", path)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path, "/nonexistent", "me"); err == nil {
			t.Errorf("%s: accepted", name)
		} else if lines := strings.Count(err.Error(), "\n"); lines > 0 {
			t.Errorf("%s: one mistake is told %d times:\n%v", name, lines+1, err)
		}
	}
}

func TestWritableByOthersIsRefused(t *testing.T) {
	home := t.TempDir()
	path := filepath.Join(home, ".ssh", "config")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("Host *\n  HostName evil\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o622); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadDefault(home, "me"); err == nil || !strings.Contains(err.Error(), "written by others") {
		t.Errorf("got %v", err)
	}
}

func TestUnsureConditionsAreTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	text := "Match host a exec \"true\"\n  Port 1\nMatch host b exec true\n  Port 2\nMatch localnetwork 10.0.0.0/8\n  Port 3\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path, "/nonexistent", "me")
	if err != nil {
		t.Fatal(err)
	}
	a := c.Resolve(Query{Host: "a"})
	var got []string
	for _, v := range a.Unsure {
		got = append(got, fmt.Sprintf("%d %s", v.Line, v.Args[0]))
	}
	sort.Strings(got)
	if diff := cmp.Diff([]string{"1 exec", "5 localnetwork"}, got); diff != "" || a.Port != 22 {
		t.Errorf("port %d, %s", a.Port, diff)
	}
}
