package inventory

import (
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// hermetic reads nothing of the machine on which the tests run.
var hermetic = Options{SSHConfig: "none", Home: "/home/ann", LocalUser: "ann"}

func load(t testing.TB, path string) *Inventory {
	t.Helper()
	inv, err := Load(path, hermetic)
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func labels(hosts []*Host) []string {
	out := []string{}
	for _, h := range hosts {
		label, _, _ := strings.Cut(h.Name, ".example")
		out = append(out, label)
	}
	return out
}

func TestSelect(t *testing.T) {
	inv := load(t, "testdata/select.yaml")
	byHand := &Inventory{Hosts: inv.Hosts, Groups: inv.Groups}
	data, err := os.ReadFile("testdata/select.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		pattern, want, ok := strings.Cut(line, " => ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		for name, inv := range map[string]*Inventory{"parsed": inv, "by hand": byHand} {
			got, err := inv.Select(pattern)
			if wantErr, bad := strings.CutPrefix(want, "! "); bad {
				if err == nil || !strings.Contains(err.Error(), wantErr) {
					t.Errorf("%s: %q gave %v, error %v; want an error with %q", name, pattern, labels(got), err, wantErr)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %q: %v", name, pattern, err)
			}
			if diff := cmp.Diff(strings.Fields(want), labels(got)); diff != "" {
				t.Errorf("%s: %q -want +got\n%s", name, pattern, diff)
			}
		}
	}
}

func TestSelectFirstLabelOfSeveral(t *testing.T) {
	inv, err := Parse("f", []byte("hosts: {db1.a.net: {}, db1.b.net: {}}"), hermetic)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := inv.Select("db1"); err == nil || !strings.Contains(err.Error(), "several hosts") {
		t.Errorf("got %v", err)
	}
	if got, err := inv.Select("db1.*"); err != nil || len(got) != 2 {
		t.Errorf("got %v, %v", labels(got), err)
	}
}

// TestSelectAtOnce is for the race detector: one inventory is asked by many.
func TestSelectAtOnce(t *testing.T) {
	inv := load(t, "testdata/select.yaml")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, p := range []string{"all", "db0*", "client:!app03", "nobody"} {
				_, _ = inv.Select(p)
				inv.Support(inv.Hosts[3:4])
			}
		})
	}
	wg.Wait()
}

func TestDependencies(t *testing.T) {
	inv := load(t, "testdata/select.yaml")
	cases := map[string]string{
		"ca1.example.net":   "",
		"ca2.example.net":   "",
		"ca3.example.net":   "ca2",
		"db01.example.net":  "ca1 ca2 ca3",
		"app04.example.net": "ca1 ca2 ca3 db01 db02 db03",
		"10.0.9.1":          "",
	}
	for name, want := range cases {
		h, ok := inv.Host(name)
		if !ok {
			t.Fatalf("no host %s", name)
		}
		var got []string
		for _, d := range inv.Dependencies(h) {
			got = append(got, strings.TrimSuffix(d, ".example.net"))
		}
		if !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s depends on %v, want %s", name, got, want)
		}
	}
	chosen, err := inv.Select("app04,db02,ca2")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Fields("ca1 ca3 db01 db03"), labels(inv.Support(chosen))); diff != "" {
		t.Error(diff)
	}
}

// Servers that the pattern takes away are left alone; of a host with an authority that is told.
func TestSupportWithout(t *testing.T) {
	inv := load(t, "testdata/select.yaml")
	for pattern, want := range map[string]string{
		"app04":               "ca1 ca2 ca3 db01 db02 db03; ",
		"app04,!db02":         "ca1 ca2 ca3 db01 db03; ",
		"app04:!db0*,!db03":   "ca1 ca2 ca3; ",
		"app04,! db_server":   "ca1 ca2 ca3; ",
		"app04,!ca1,!db01":    "ca1 ca2 ca3 db02 db03; ca1.example.net",
		"app04:&client:!ca04": "! no host, group or role is called ca04",
	} {
		away, err := inv.TakenAway(pattern)
		if wrong, bad := strings.CutPrefix(want, "! "); bad {
			if err == nil || !strings.Contains(err.Error(), wrong) {
				t.Errorf("%s: %v", pattern, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
		chosen, err := inv.Select("app04")
		if err != nil {
			t.Fatal(err)
		}
		support, despite := inv.SupportWithout(chosen, away)
		if got := strings.Join(labels(support), " ") + "; " + strings.Join(despite, " "); got != want {
			t.Errorf("%s: %s, want %s", pattern, got, want)
		}
	}
}
