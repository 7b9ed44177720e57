package playbooks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgfleet/pgfleet/inventory"
)

// TestParseMistakes: testdata/parse/*.yaml and beside each, as .want, every mistake with its line.
func TestParseMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/parse/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	kinds := newWorld(t).kinds
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(strings.TrimSuffix(file, ".yaml") + ".want")
			if err != nil {
				t.Fatal(err)
			}
			_, err = parse("f", data, kinds)
			var problems inventory.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("not problems: %v", err)
			}
			var got strings.Builder
			for _, p := range problems {
				fmt.Fprintf(&got, "%d: %s\n", p.Line, p.Text)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestParseKeepsWhatWasWritten: numbers that YAML would change stay as they are written.
func TestParseKeepsWhatWasWritten(t *testing.T) {
	pb, err := parse("f", []byte(`
name: A
max_failures: 2
vars: {mode: 0644, version: 1.10, n: 5, f: 1.5, yes: on, no: false, big: 99999999999999999999, none: ~, date: 2026-01-02, list: [1, a], map: {a: 1}}
plays:
  - {hosts: [db1, "!db2"], serial: 25%, tags: [a, b], tasks: [put: {key: a}, tried: ]}
`), newWorld(t).kinds)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"mode": "0644", "version": "1.10", "n": 5, "f": 1.5, "yes": "on", "no": false, "big": "99999999999999999999", "none": nil,
		"date": "2026-01-02", "list": []any{1, "a"}, "map": map[string]any{"a": 1}}
	if diff := cmp.Diff(want, pb.Vars); diff != "" {
		t.Error(diff)
	}
	play := pb.Plays[0]
	if play.Name != "db1,!db2" || play.Hosts != "db1,!db2" || play.Serial != "25%" || len(play.Tags) != 2 || len(play.Tasks) != 2 || pb.MaxFailures != "2" {
		t.Errorf("%+v", pb)
	}
	if play.Tasks[1].Kind != "tried" || play.Tasks[0].Lines["key"] != 6 {
		t.Errorf("%+v", play.Tasks)
	}
}

func TestParseAliases(t *testing.T) {
	kinds := newWorld(t).kinds
	pb, err := parse("f", []byte("vars: {a: &x {k: v}, b: *x}\nplays: []"), kinds)
	if err != nil || !cmp.Equal(pb.Vars["a"], pb.Vars["b"]) {
		t.Errorf("%v %+v", err, pb)
	}
	bomb := "vars:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 9; i++ {
		bomb += fmt.Sprintf("  a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	if _, err := parse("f", []byte(bomb+"plays: []"), kinds); err == nil || !strings.Contains(err.Error(), "aliases expand") {
		t.Errorf("a file whose aliases explode: %v", err)
	}
	if _, err := parse("f", []byte("vars: {a: &a [*a]}\nplays: []"), kinds); err == nil {
		t.Error("an alias inside itself was accepted")
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	own := filepath.Join(dir, "mtls.yaml")
	if err := os.WriteFile(own, []byte("name: mine\nplays: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if pb, err := Load(own); err != nil || pb.Name != "mine" {
		t.Errorf("a file of one's own: %v %+v", err, pb)
	}
	t.Chdir(dir)
	for _, name := range []string{"mtls", "playbooks/mtls.yaml"} {
		pb, err := Load(name)
		if err != nil || pb.Name == "mine" || len(pb.Plays) == 0 {
			t.Errorf("shipped %s: %v", name, err)
		}
	}
	if pb, err := Load("mtls.yaml"); err != nil || pb.Name != "mine" {
		t.Errorf("a file wins over a shipped one: %v", err)
	}
	if _, err := Load("mtsl"); err == nil || !strings.Contains(err.Error(), "did you mean mtls") {
		t.Errorf("a slip of the pen: %v", err)
	}
	if _, err := Load(dir); err == nil || strings.Contains(err.Error(), "no such file") {
		t.Errorf("a folder: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/parse/*.yaml")
	for _, file := range append(files, "mtls.yaml") {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("vars: {a: &a [*a]}\nplays: &p\n- {hosts: a, tasks: *p}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		kinds := (&world{}).fakeKinds()
		pb, err := parse("f", data, kinds)
		var problems inventory.Problems
		if err != nil && (!errors.As(err, &problems) || len(problems) == 0) {
			t.Errorf("an error without a problem: %v", err)
		}
		if err == nil && pb == nil {
			t.Error("neither playbook nor error")
		}
	})
}
