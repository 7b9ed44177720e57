package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// accounts are the machine's users and groups as colon-separated fields (passwd(5), group(5)).
type accounts struct {
	passwd, groups [][]string
}

type ids struct{ uid, gid int }

func readAccounts(root string) (*accounts, error) {
	var a accounts
	for path, lines := range map[string]*[][]string{"/etc/passwd": &a.passwd, "/etc/group": &a.groups} {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			return nil, fmt.Errorf("read accounts: %w", err)
		}
		for line := range strings.Lines(string(text)) {
			*lines = append(*lines, strings.Split(strings.TrimSpace(line), ":"))
		}
	}
	return &a, nil
}

// clean keeps the system's users and groups, drops people's, and adds the lab's administrator.
func (a *accounts) clean() error {
	a.passwd = slices.DeleteFunc(a.passwd, func(f []string) bool { return len(f) != 7 || isPerson(f) })
	a.groups = slices.DeleteFunc(a.groups, func(f []string) bool { return len(f) != 4 || isPerson(f) })
	known := map[string]bool{}
	for _, f := range a.passwd {
		known[f[0]] = true
	}
	for _, f := range a.groups {
		f[3] = strings.Join(slices.DeleteFunc(strings.Split(f[3], ","), func(m string) bool { return !known[m] }), ",")
	}
	id := strconv.Itoa(opsID)
	a.passwd = append(a.passwd, []string{AdminUser, "x", id, id, "Lab administrator", "/home/" + AdminUser, "/bin/bash"})
	a.groups = append(a.groups, []string{AdminUser, "x", id, ""})
	return nil
}

func isPerson(f []string) bool {
	id, err := strconv.Atoi(f[2])
	return err != nil || id >= 1000 && id < 65000 || f[0] == AdminUser
}

func (a *accounts) id(user string) (ids, error) {
	for _, f := range a.passwd {
		if f[0] != user {
			continue
		}
		uid, err := strconv.Atoi(f[2])
		if err != nil {
			break
		}
		gid, err := strconv.Atoi(f[3])
		return ids{uid, gid}, err
	}
	return ids{}, fmt.Errorf("find user %s: not in /etc/passwd", user)
}

func (a *accounts) group(name string) (int, error) {
	for _, f := range a.groups {
		if f[0] == name {
			return strconv.Atoi(f[2])
		}
	}
	return 0, fmt.Errorf("find group %s: not in /etc/group", name)
}

// entries are the files; nobody has a password, so that only keys log in.
func (a *accounts) entries() []entry {
	var passwd, group, shadow, gshadow strings.Builder
	for _, f := range a.passwd {
		fmt.Fprintln(&passwd, strings.Join(f, ":"))
		fmt.Fprintf(&shadow, "%s:*:20000:0:99999:7:::\n", f[0])
	}
	for _, f := range a.groups {
		fmt.Fprintln(&group, strings.Join(f, ":"))
		fmt.Fprintf(&gshadow, "%s:*::%s\n", f[0], f[3])
	}
	return []entry{
		{"/etc/passwd", 0o644, 0, 0, passwd.String()},
		{"/etc/group", 0o644, 0, 0, group.String()},
		{"/etc/shadow", 0o640, 0, a.shadowGroup(), shadow.String()},
		{"/etc/gshadow", 0o640, 0, a.shadowGroup(), gshadow.String()},
	}
}

func (a *accounts) shadowGroup() int {
	id, err := a.group("shadow")
	if err != nil {
		return 0
	}
	return id
}
