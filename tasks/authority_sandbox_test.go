package tasks_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

// On a real host, in the default place, below a root by another authority of the same host; then the second run. Also where /etc has a default ACL: the folders
// are closed from the start, whatever the umask.
func TestAuthorityOnAHost(t *testing.T) {
	t.Parallel()
	t.Run("plain", func(t *testing.T) { testAuthorityOnAHost(t, transporttest.NewSandbox(t)) })
	t.Run("default ACL", func(t *testing.T) {
		sb := transporttest.NewSandbox(t)
		sb.Exec("sh", "-c", transporttest.DefaultACL, "sh", "/etc")
		testAuthorityOnAHost(t, sb)
	})
}

func testAuthorityOnAHost(t *testing.T, sb *transporttest.Sandbox) {
	t.Helper()
	kind, ok := tasks.Lookup("authority")
	if !ok {
		t.Fatal("there is no kind authority")
	}
	task, problems := tasks.Decode(kind, nil)
	if len(problems) > 0 {
		t.Fatal(problems[0])
	}
	h := &tasks.Host{Name: "ca1", View: &tasks.View{}, Fleet: &tasks.Fleet{Now: time.Now(), Authorities: map[string]pki.Authority{
		"root":  {Name: "root", Host: "ca1", Subject: "CN=root"},
		"below": {Name: "below", Host: "ca1", Issuer: "root", Subject: "CN=below", ValidFor: 365 * 24 * time.Hour},
	}}}
	h.Fleet.Hosts = map[string]*tasks.Host{"ca1": h}
	h.Fleet.CA = tasks.NewAuthorities(h.Fleet.Authorities, func(string) *tasks.View { return h.View },
		func(ctx context.Context, _ string, steps ...transport.Step) ([]transport.Result, error) {
			return sb.Do(ctx, steps...)
		}, time.Now)
	if changed, err := runAuthority(sb, task, h); !changed || err != nil {
		t.Fatalf("first run: changed %v, %v", changed, err)
	}
	if changed, err := runAuthority(sb, task, h); changed || err != nil {
		t.Fatalf("second run: changed %v, %v", changed, err)
	}
	for path, mode := range map[string]os.FileMode{"/etc/pgfleet": 0o755, "/etc/pgfleet/ca": 0o755, "/etc/pgfleet/ca/below": 0o700,
		"/etc/pgfleet/ca/below/keys": 0o700, "/etc/pgfleet/ca/below/keys/ca.key": 0o600, "/etc/pgfleet/ca/root/issued": 0o700} {
		info, err := os.Stat(sb.Path(path))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v; wanted mode %o", path, info, err, mode)
		}
	}
	sb.Exec("openssl", "verify", "-crl_check", "-CAfile", "/etc/pgfleet/ca/root/certs/ca.crt", "-CRLfile", "/etc/pgfleet/ca/root/crl/ca.crl", "/etc/pgfleet/ca/below/certs/ca.crt")
}

// runAuthority looks, applies and looks again, as the runner does.
func runAuthority(conn transport.Conn, task tasks.Task, h *tasks.Host) (changed bool, err error) {
	ctx := context.Background()
	look := func(closing ...transport.Step) ([]transport.Result, error) {
		results, err := conn.Do(ctx, append(closing, task.Needs(h)...)...)
		if err == nil {
			h.View.Put(results[min(len(closing), len(results)):]...)
		}
		return results, err
	}
	if _, err := look(); err != nil {
		return false, err
	}
	change, err := task.Check(ctx, h)
	if err != nil || change == nil {
		return false, err
	}
	closing, err := change.Apply(ctx, conn)
	if err != nil {
		return true, err
	}
	results, err := look(closing...)
	if err != nil {
		return true, err
	}
	if err := change.Then(results[:len(closing)]); err != nil {
		return true, err
	}
	again, err := task.Check(ctx, h)
	if err == nil && again != nil {
		err = errors.New("still wants: " + again.Summary)
	}
	return true, err
}

// The host's disk is full in the middle of everything: it is said, and once there is room again the next run finishes.
func TestAuthorityOnAFullDisk(t *testing.T) {
	t.Parallel()
	sb := transporttest.NewSandbox(t)
	kind, _ := tasks.Lookup("authority")
	task, _ := tasks.Decode(kind, nil)
	sb.Exec("mkdir", "-p", "/srv/ca")
	sb.Exec("mount", "-t", "tmpfs", "-o", "size=4k,mode=755", "none", "/srv/ca")
	h := &tasks.Host{Name: "ca1", View: &tasks.View{}, Fleet: &tasks.Fleet{Now: time.Now(), Authorities: map[string]pki.Authority{
		"root": {Name: "root", Host: "ca1", Subject: "CN=root", Dir: "/srv/ca/root"}}}}
	h.Fleet.CA = tasks.NewAuthorities(h.Fleet.Authorities, func(string) *tasks.View { return h.View },
		func(ctx context.Context, _ string, steps ...transport.Step) ([]transport.Result, error) {
			return sb.Do(ctx, steps...)
		}, time.Now)
	refused := 0
	for pages := 1; ; pages++ {
		sb.Exec("mount", "-o", "remount,size="+strconv.Itoa(4*pages)+"k", "/srv/ca")
		_, err := runAuthority(sb, task, h)
		if err == nil {
			break
		}
		if refused++; refused > 60 {
			t.Fatal(err)
		}
	}
	if refused < 5 {
		t.Errorf("the disk was full only %d times", refused)
	}
	if changed, err := runAuthority(sb, task, h); changed || err != nil {
		t.Errorf("changed %v, %v", changed, err)
	}
	sb.Exec("openssl", "verify", "-crl_check", "-CAfile", "/srv/ca/root/certs/ca.crt", "-CRLfile", "/srv/ca/root/crl/ca.crl", "/srv/ca/root/issued/"+
		sb.Exec("cat", "/srv/ca/root/requests/canary-good"))
}
