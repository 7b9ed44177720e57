package cmd

import (
	"reflect"
	"strings"
	"testing"
)

func TestReadArguments(t *testing.T) {
	const run, exec = "pgfleet run ", "pgfleet exec "
	for in, want := range map[string]string{
		"run p.yaml":                       run + "-- p.yaml",
		"run p.yaml -l db1 --check":        run + "--limit=db1 --check -- p.yaml",
		"run -l=db1 p.yaml":                run + "--limit=db1 -- p.yaml",
		"run --limit=db1 p.yaml":           run + "--limit=db1 -- p.yaml",
		"run -CDv p.yaml":                  run + "--check --diff --verbose -- p.yaml",
		"run -CDl db1 p.yaml":              run + "--check --diff --limit=db1 -- p.yaml",
		"run -f10 -vvv p.yaml":             run + "--forks=10 --verbose --verbose --verbose -- p.yaml",
		"-i inv.yaml -v run p.yaml":        run + "--inventory=inv.yaml --verbose -- p.yaml",
		"run -e a=-1 -e b=x,y p.yaml":      run + "--extra-vars=a=-1 --extra-vars=b=x,y -- p.yaml",
		"run --max-failures=3 -- -p.yaml":  run + "--max-failures=3 -- -p.yaml",
		"run --connect-timeout 10 p.yaml":  run + "--connect-timeout=10s -- p.yaml",
		"run --connect-timeout 2m p.yaml":  run + "--connect-timeout=2m0s -- p.yaml",
		"run - -l !db1":                    run + "--limit=!db1 -- -",
		"exec -l all -- psql -l":           exec + "--limit=all -- psql -l",
		"exec -l all psql -l --version -h": exec + "--limit=all -- psql -l --version -h",
		"-l all exec -u app -- -x":         exec + "--limit=all --user=app -- -x",
	} {
		a, err := readArguments(commands(&System{}), strings.Fields(in))
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		// The form for urfave/cli has no surprises: a flag is always one word.
		line := []string{"pgfleet", a.command.Name}
		line = append(line, a.flags...)
		if got := strings.Join(append(append(line, "--"), a.words...), " "); got != want || strings.Join(a.line(), " ") != want || a.help {
			t.Errorf("%s:\n got %s\nwant %s", in, got, want)
		}
	}
}

// Whatever is typed is refused with a text or understood, and then every argument of the user's is still there.
func FuzzReadArguments(f *testing.F) {
	for _, s := range []string{"run\x00p.yaml\x00-l\x00db1", "exec\x00-l\x00all\x00--\x00sh\x00-c\x00true", "-i\x00x\x00run\x00-CDf9\x00p", "--\x00run", "-h", "task\x00file\x00a:=[1]"} {
		f.Add(s)
	}
	table := commands(&System{})
	f.Fuzz(func(t *testing.T, text string) {
		args := strings.Split(text, "\x00")
		a, err := readArguments(table, args)
		if err != nil {
			if exitCode(err) != exitUsage || err.Error() == "" {
				t.Fatalf("%q: %v", args, err)
			}
			return
		}
		if a.command == nil {
			return
		}
		for _, w := range a.words {
			found := false
			for _, arg := range args {
				found = found || arg == w
			}
			if !found {
				t.Errorf("%q: argument %q was made up", args, w)
			}
		}
		again, err := readArguments(table, a.line()[1:])
		if err != nil || !reflect.DeepEqual(again.words, a.words) || !reflect.DeepEqual(again.flags, a.flags) {
			t.Errorf("%q: read again %+v, %v", args, again, err)
		}
	})
}

func TestAssignments(t *testing.T) {
	got, err := assignments("value", []string{"a=b=c", "n:=3", `l:=["x",2,2.5,true,null]`, `m:={"k":{"d":1}}`, "empty=", "at=@file"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"a": "b=c", "n": 3, "l": []any{"x", 2, 2.5, true, nil}, "m": map[string]any{"k": map[string]any{"d": 1}}, "empty": "", "at": "@file"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v", got)
	}
	for _, bad := range []string{"a", "=b", ":=1", "a:=", "a:=1 2", "a:={"} {
		if _, err := assignments("value", []string{bad}); exitCode(err) != exitUsage {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
