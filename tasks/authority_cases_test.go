package tasks

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

// authorityCase is one entry of testdata/authority/cases.yaml.
type authorityCase struct {
	Name, Prepare, Change, Error string
	Subject, Mode, Dir           string
	KeyType                      string `yaml:"key_type"`
	Made                         string
}

func TestAuthorityCases(t *testing.T) {
	data, err := os.ReadFile("testdata/authority/cases.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var cases []authorityCase
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			c.test(t)
		})
	}
}

func (c authorityCase) test(t *testing.T) {
	if os.Getuid() != 0 && c.Dir != "" {
		transporttest.Unable(t, "needs root")
	}
	w := newCAWorld(t, pki.Authority{Name: "root", Host: "a", Subject: "CN=root", ValidFor: 2 * year, Dir: c.Dir})
	if c.Dir != "" {
		top := filepath.Dir(c.Dir)
		t.Cleanup(func() { os.RemoveAll(top) })
	}
	w.fleet.Now = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	if now := time.Now(); now.After(w.fleet.Now) {
		w.fleet.Now = now
	}
	if c.Made != "no" {
		w.mustRun("a")
	}
	dir := w.fleet.Authorities["root"].Dir
	if c.Prepare != "" {
		if out, err := exec.Command("/bin/sh", "-c", c.Prepare, "sh", dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	before := snapshot(t, dir)
	a := w.fleet.Authorities["root"]
	for _, s := range []struct {
		to   *string
		from string
	}{{&a.Subject, c.Subject}, {&a.Mode, c.Mode}, {&a.KeyType, c.KeyType}} {
		if s.from != "" {
			*s.to = s.from
		}
	}
	w.fleet.Authorities["root"] = a
	w.connect()
	summary, err := w.summary("a")
	switch {
	case c.Error != "":
		if err == nil || !strings.Contains(err.Error(), c.Error) {
			t.Fatalf("error %v, wanted %q", err, c.Error)
		}
		w.run("a")
		if after := snapshot(t, dir); after != before {
			t.Errorf("refused, but the folder changed:\n%s\n%s", before, after)
		}
		return
	case err != nil:
		t.Fatal(err)
	case c.Change == "" && summary != "", !strings.Contains(summary, c.Change):
		t.Fatalf("change %q, wanted %q", summary, c.Change)
	}
	w.finished("a")
}

// snapshot lists a folder's files with their content.
func snapshot(t *testing.T, dir string) string {
	out, err := exec.Command("/bin/sh", "-c", `[ ! -d "$1" ] || { ls -lnR "$1" && find "$1" -type f -exec cksum {} +; }`, "sh", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}
