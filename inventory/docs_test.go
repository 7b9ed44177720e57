package inventory

import (
	"os"
	"strings"
	"testing"
)

// TestManual parses every example of the manual's page and looks for every setting and key in it.
func TestManual(t *testing.T) {
	data, err := os.ReadFile("../docs/inventory.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	blocks := strings.Split(page, "```yaml\n")[1:]
	if len(blocks) == 0 {
		t.Fatal("no example")
	}
	for i, block := range blocks {
		text, _, _ := strings.Cut(block, "```")
		if _, err := Parse("docs/inventory.md", []byte(text), hermetic); err != nil {
			t.Errorf("example %d:\n%v", i+1, err)
		}
	}
	for _, keys := range [][]string{keysOf(settingReaders), keysOf(hostKeys), keysOf(authorityKeys), identityKeys, groupKeys} {
		for _, key := range keys {
			if !strings.Contains(page, key) {
				t.Errorf("the page does not mention %s", key)
			}
		}
	}
}
