package tasks

import (
	"testing"
)

func FuzzParseClusters(f *testing.F) {
	f.Add([]byte("host 5\nnow=1\nend 0\n\n"))
	f.Add([]byte("cluster 28\ndata=/d\nstate=running\nmajor=1\nproblem 3\nabc\nend 0\n\n"))
	f.Add([]byte("cluster 28\ndata=/d\nstate=running\nmajor=1\nfile 29\ncert found 1 644 a b 1.5 /x\ny\nend 0\n\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		list, err := parseClusters(out)
		if err != nil && list != nil {
			t.Fatal("clusters with an error")
		}
		for _, c := range list {
			if c.Dir == "" || c.ID == "" {
				t.Fatalf("cluster without a name: %+v", c)
			}
		}
	})
}

// A probe's output that was cut anywhere must never read as a smaller fleet.
func TestCutOutputIsAnError(t *testing.T) {
	whole := []byte("host 5\nnow=1\ncluster 7\nmajor=1\nproblem 3\nabc\nend 0\n\n")
	if _, err := parseClusters(whole); err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if _, err := parseClusters(whole[:n]); err == nil {
			t.Errorf("cut after %d bytes: no error", n)
		}
	}
}
