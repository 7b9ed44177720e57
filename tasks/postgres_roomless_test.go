package tasks

import (
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/transport"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

// Some shells write a here-document to a file. Where there is no room for it, folders that nobody could look at are not taken for root's, and a step runs as
// its user or not at all.
func TestRoomless(t *testing.T) {
	t.Parallel()
	sb := transporttest.NewSandbox(t)
	sb.Shell("useradd -m mallory && useradd -m app && mkdir /home/mallory/data && ln -s /etc/important /home/mallory/data/file.pgfleet-new && chown -R mallory: /home/mallory && echo kept >/etc/important")
	sb.Shell(oldBash)
	program := postgresAs + postgresLibProgram + "\n" + `actor /home/mallory/data/file && printf 'acts %s\n' "$who"`
	results, err := sb.Connect().Do(t.Context(),
		transport.Step{Key: "mallory", Argv: []string{"id", "-un"}, User: "mallory"},
		transport.Step{Key: "fill", Shell: fullTmp},
		transport.Step{Key: "app", Argv: []string{"id", "-un"}, User: "app", Probe: true},
		transport.Step{Key: "actor", Shell: program, Argv: []string{"mallory"}, Probe: true})
	if err != nil {
		t.Fatal(err)
	}
	if out, errs := string(results[3].Stdout), string(results[3].Stderr); results[3].Err == nil || strings.Contains(out, "acts") || !strings.Contains(errs, "cannot look at /home/mallory/data") {
		t.Errorf("who acts below a stranger's folder: %q %s", out, errs)
	}
	if out := strings.TrimSpace(string(results[2].Stdout)); out != "" && out != "app" {
		t.Errorf("a step of app's runs as %q", out)
	}
}
