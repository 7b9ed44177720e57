package inventory

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

var update = flag.Bool("update", false, "write the expected files anew")

// TestCases reads every inventory of testdata/cases. NAME.json holds what it means; NAME.problems, one a line, what is wrong with it.
// NAME.ssh_config, where there is one, is the user's.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/cases/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) { runCase(t, strings.TrimSuffix(file, ".yaml")) })
	}
}

func runCase(t *testing.T, base string) {
	data, err := os.ReadFile(base + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	opt := Options{SSHConfig: "none", Home: "/home/ann", LocalUser: "ann"}
	if _, err := os.Stat(base + ".ssh_config"); err == nil {
		opt.SSHConfig = base + ".ssh_config"
	}
	inv, err := Parse("/fleet/inventory.yaml", data, opt)
	want, got := base+".json", ""
	if err != nil {
		var problems Problems
		if !errors.As(err, &problems) {
			t.Fatalf("error of type %T: %v", err, err)
		}
		want, got = base+".problems", problems.Error()+"\n"
	} else {
		got = dump(t, inv)
	}
	if strings.Contains(got, "hunter2") {
		t.Error("a password is shown")
	}
	if *update {
		if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	expected, err := os.ReadFile(want)
	if err != nil {
		t.Fatalf("%v\nit gave:\n%s", err, got)
	}
	if diff := cmp.Diff(string(expected), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// dump writes an inventory as JSON, without what is empty.
func dump(t *testing.T, inv *Inventory) string {
	t.Helper()
	var generic any
	data, err := json.Marshal(struct {
		Inventory
		Authorities map[string]any
	}{*inv, readable(inv.Authorities)})
	if err == nil {
		err = json.Unmarshal(data, &generic)
	}
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(prune(generic)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func readable(as map[string]pki.Authority) map[string]any {
	out := map[string]any{}
	for name, a := range as {
		type plain pki.Authority
		out[name] = struct {
			plain
			ValidFor, LeafValidFor string
		}{plain(a), a.ValidFor.String(), fmt.Sprint(a.LeafValidFor)}
	}
	return out
}

func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if x = prune(x); x == nil {
				delete(v, k)
			} else {
				v[k] = x
			}
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		for i := range v {
			v[i] = prune(v[i])
		}
		if len(v) == 0 {
			return nil
		}
	case string:
		if v == "" || v == "0s" {
			return nil
		}
	case bool:
		if !v {
			return nil
		}
	case float64:
		if v == 0 {
			return nil
		}
	}
	return v
}
