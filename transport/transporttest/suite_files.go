package transporttest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/transport"
)

func write(path, owner, group string, mode fs.FileMode, content string) transport.Step {
	return transport.Step{Key: path, Write: &transport.FileMeta{Path: path, Owner: owner, Group: group, Mode: mode}, Stdin: []byte(content)}
}

// DefaultACL is a shell program that gives the folder $1 a default ACL, as setfacl -d -m u:1:r-x,o::r-x does: no umask counts for what is made there.
const DefaultACL = `perl -e '$n = "system.posix_acl_default"; $v = pack("L<(S<S<L<)*", 2, 1,7,~0, 2,5,1, 4,5,~0, 16,5,~0, 32,5,~0);
	syscall($ARGV[1] eq "aarch64" ? 5 : 188, $ARGV[0], $n, $v, length $v, 0) == 0 or die $!' "$1" "$(uname -m)"`

// state lists everything below a folder: type, mode, owner, size, name, link target.
func (h *host) state(dir string) string {
	h.T.Helper()
	return h.sh(`cd "$1" && /usr/bin/find . -mindepth 1 -printf "%y %m %u:%g %s %P %l\n" | sort -k5`, dir)
}

func (h *host) succeed(steps ...transport.Step) {
	h.T.Helper()
	if err := transport.Failed(steps, h.do(steps...)); err != nil {
		h.T.Fatal(err)
	}
}

func testWrite(t *testing.T, h *host) {
	dir := h.folder("root")
	big := string(noise(3 << 20))
	numeric := h.sh("id -u postgres; id -g postgres")
	uid, gid, _ := strings.Cut(numeric, "\n")
	h.sh(`cd "$1"; echo old >replaced; chmod 666 replaced; chown postgres replaced; ln -s /etc/passwd link; ln -s nowhere dangling`, dir)
	h.succeed(
		write(dir+"/a", "", "", 0, "default"),
		write(dir+"/b", "postgres", "", 0o644, ""),
		write(dir+"/c", "root", "postgres", 0o640, "x\x00y\n"),
		write(dir+"/d", uid, gid, 0o400, "numeric"),
		write(dir+"/e with 'space' and \\n", "postgres", "ssl-cert", 0o660, "e"),
		transport.Step{Argv: []string{"true"}},
		write(dir+"/big", "", "", 0o600, big),
		write(dir+"/replaced", "root", "root", 0o600, "new"),
		write(dir+"/link", "", "", 0o600, "no link"),
		write(dir+"/dangling", "", "", 0o600, "no link"),
	)
	h.equal("state", h.state(dir), `f 600 root:root 7 a 
f 644 postgres:root 0 b 
f 600 root:root 3145728 big 
f 640 root:postgres 4 c 
f 400 postgres:postgres 7 d 
f 600 root:root 7 dangling 
f 660 postgres:ssl-cert 1 e with 'space' and \n 
f 600 root:root 7 link 
f 600 root:root 3 replaced `)
	h.sh(`mkdir "$1/acl"`, dir)
	h.sh(DefaultACL, dir+"/acl")
	h.succeed(write(dir+"/acl/a", "", "", 0o600, "secret"), write(dir+"/acl/b", "", "", 0o644, "b"), write(dir+"/acl/c", "root", "postgres", 0o640, "c"))
	h.equal("below a default ACL", h.state(dir+"/acl"), "f 600 root:root 6 a \nf 644 root:root 1 b \nf 640 root:postgres 1 c ")
	h.sh(`rm -r "$1/acl"`, dir)
	h.succeed(write(dir+"/two\nlines", "", "", 0, "x"))
	h.equal("two lines", h.sh(`cat "$1/two
lines"`, dir), "x")
	r := h.do(transport.Step{Read: dir + "/big"}, transport.Step{Read: dir + "/c"})
	if !bytes.Equal(r[0].Stdout, []byte(big)) || string(r[1].Stdout) != "x\x00y\n" {
		t.Error("what was written came back changed")
	}
	var many []transport.Step
	for i := range 40 {
		many = append(many, write(fmt.Sprintf("%s/m%d", dir, i), "postgres", "postgres", 0o600, fmt.Sprint(i)))
	}
	many = append(many, write(dir+"/twice", "", "", 0, "1"), write(dir+"/twice", "", "", 0, "2"))
	h.succeed(many...)
	h.equal("many", h.sh(`cd "$1"; cat m? m??; cat twice`, dir), h.sh(`for i in 0 1 2 3 4 5 6 7 8 9; do printf $i; done; i=10; while [ $i -lt 40 ]; do printf $i; i=$((i+1)); done; echo 2`))
	own := h.folder("postgres")
	h.succeed(transport.Step{Write: &transport.FileMeta{Path: own + "/f", Mode: 0o644}, User: "postgres", Stdin: []byte("mine")})
	h.equal("as postgres", h.state(own), "f 644 postgres:postgres 4 f ")
	h.succeed(transport.Step{Argv: []string{"useradd", "suiteuser"}}, write(dir+"/made", "suiteuser", "suiteuser", 0o600, ""))
	h.equal("new user", h.sh(`stat -c %U:%G "$1/made"`, dir), "suiteuser:suiteuser")
}

func testWriteFails(t *testing.T, h *host) {
	dir := h.folder("root")
	own := h.folder("postgres")
	h.sh(`cd "$1"; mkdir folder; echo old >old; echo later >later`, dir)
	before := h.state(dir)
	for _, c := range []struct {
		name  string
		bad   transport.Step
		class error
		text  string
	}{
		{"a folder is in the way", write(dir+"/folder", "", "", 0, "x"), nil, "folder"},
		{"no parent", write(dir+"/none/x", "", "", 0, "x"), nil, ""},
		{"parent is a file", write(dir+"/old/x", "", "", 0, "x"), nil, ""},
		{"unknown owner", write(dir+"/old", "no-such-user", "", 0, "x"), nil, "no-such-user"},
		{"unknown group", write(dir+"/old", "", "no-such-group", 0, "x"), nil, "no-such-group"},
		{"not allowed", transport.Step{Write: &transport.FileMeta{Path: dir + "/old"}, User: "postgres"}, fs.ErrPermission, ""},
		{"may not give away", transport.Step{Write: &transport.FileMeta{Path: own + "/x", Owner: "root"}, User: "postgres"}, fs.ErrPermission, ""},
	} {
		results := h.do(c.bad, write(dir+"/later", "", "", 0, "changed"))
		if len(results) != 1 || results[0].Err == nil {
			t.Errorf("%s: %+v", c.name, results)
			continue
		}
		err := results[0].Err
		if c.class != nil && !errors.Is(err, c.class) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: error %v", c.name, err)
		}
		if errors.Is(err, transport.ErrUnreachable) || errors.Is(err, transport.ErrNotExist) {
			t.Errorf("%s: wrong class: %v", c.name, err)
		}
		h.equal(c.name, h.state(dir), before)
		h.equal(c.name, h.state(own), "")
	}
	h.equal("later", h.sh(`cat "$1/later"`, dir), "later")
	h.do(write(dir+"/first", "", "", 0, "1"), write(dir+"/none/x", "", "", 0, "2"), write(dir+"/later", "", "", 0, "3"))
	h.equal("around a failure", h.sh(`cd "$1"; cat first later`, dir), "1later")
}

func testFullDisk(t *testing.T, h *host) {
	dir := h.folder("root")
	h.sh(`mount -t tmpfs -o size=256k suite "$1" && echo old >"$1/file"`, dir)
	// Lazily: the handle of a file that is in place already may be closed a moment later.
	defer h.sh(`umount -l "$1"`, dir)
	results := h.do(write(dir+"/file", "", "", 0o600, string(noise(1<<20))))
	if err := results[0].Err; err == nil || !strings.Contains(strings.ToLower(err.Error()), "no space left") {
		t.Errorf("got %v", err)
	}
	h.equal("what is left", h.state(dir), "f 644 root:root 4 file ")
	h.succeed(write(dir+"/file", "", "", 0o600, "fits"))
}

// testLinks: whoever owns a folder can plant a link at every part of a path below it. Acting as that user, nothing is won.
func testLinks(t *testing.T, h *host) {
	home := h.folder("postgres")
	secret := h.folder("root")
	h.sh(`cd "$1"; chmod 700 .; echo secret >key; mkdir sub; echo secret >sub/key`, secret)
	before := h.state(secret)
	for _, plant := range []struct{ name, program, path string }{
		{"the file", `ln -s "$2/key" file`, "/file"},
		{"its folder", `ln -s "$2" dir`, "/dir/key"},
		{"a folder above", `ln -s "$2" a`, "/a/sub/key"},
		{"relative", `mkdir -p x; ln -s "../../../..$2" x/y`, "/x/y/key"},
		{"hard", `ln "$2/key" hard 2>/dev/null || :`, "/hard"},
	} {
		h.do(transport.Step{Shell: `cd "$1" && ` + plant.program, Argv: []string{home, secret}, User: "postgres"})
		r := h.do(transport.Step{Write: &transport.FileMeta{Path: home + plant.path, Mode: 0o644}, User: "postgres", Stdin: []byte("x"), Probe: true},
			transport.Step{Read: home + plant.path, User: "postgres", Probe: true})
		if bytes.Contains(r[1].Stdout, []byte("secret")) {
			t.Errorf("%s: the secret was read", plant.name)
		}
		h.equal(plant.name, h.state(secret), before)
		h.equal(plant.name, h.sh(`cat "$1/key" "$1/sub/key"`, secret), "secret\nsecret")
	}
}

func testRead(t *testing.T, h *host) {
	dir := h.folder("root")
	data := noise(1 << 20)
	h.succeed(write(dir+"/bin", "postgres", "ssl-cert", 0o640, string(data)), write(dir+"/empty", "", "", 0o600, ""),
		transport.Step{Shell: `touch -d @1000000000 "$1/bin"; ln -s bin "$1/link"; chown 54321:54321 "$1/empty"`, Argv: []string{dir}})
	r := h.do(transport.Step{Read: dir + "/bin"}, transport.Step{Read: dir + "/link"}, transport.Step{Read: dir + "/empty"}, transport.Step{Read: "/proc/self/status"})
	for i := range 2 {
		f := r[i].File
		if !bytes.Equal(r[i].Stdout, data) || f == nil || f.Owner != "postgres" || f.Group != "ssl-cert" || f.Mode != 0o640 || f.ModTime.Unix() != 1e9 {
			t.Errorf("read %d: %d bytes, %+v, %v", i, len(r[i].Stdout), f, r[i].Err)
		}
	}
	if f := r[2].File; r[2].Err != nil || len(r[2].Stdout) != 0 || f == nil || f.Owner != "54321" || f.Group != "54321" || f.Mode != 0o600 {
		t.Errorf("empty: %+v %+v", r[2], f)
	}
	if r[3].Err != nil || !bytes.Contains(r[3].Stdout, []byte("Name:")) {
		t.Errorf("/proc: %v", r[3].Err)
	}
}

func testReadFails(t *testing.T, h *host) {
	dir := h.folder("root")
	h.sh(`cd "$1"; mkdir folder closed; echo x >closed/f; chmod 700 closed; echo x >private; chmod 600 private; ln -s nowhere dangling; ln -s loop loop; mkfifo pipe; truncate -s 65M large`, dir)
	for _, c := range []struct {
		name, path, user string
		class            error
	}{
		{"missing", "/none", "", transport.ErrNotExist},
		{"missing folder", "/none/none", "", transport.ErrNotExist},
		{"below a file", "/private/none", "", transport.ErrNotExist},
		{"dangling link", "/dangling", "", transport.ErrNotExist},
		{"closed folder", "/closed/f", "postgres", fs.ErrPermission},
		{"closed folder, no file", "/closed/none", "postgres", fs.ErrPermission},
		{"closed file", "/private", "postgres", fs.ErrPermission},
		{"folder", "/folder", "", nil},
		{"loop", "/loop", "", nil},
		{"pipe", "/pipe", "", nil},
		{"large", "/large", "", nil},
		{"name that lies", "/none: No such file or directory/x", "", transport.ErrNotExist},
		{"no such user", "/private", "no-such-user", nil},
	} {
		r := h.do(transport.Step{Read: dir + c.path, User: c.user, Probe: true})[0]
		if r.Err == nil || r.File != nil || len(r.Stdout) != 0 {
			t.Errorf("%s: %+v", c.name, r)
			continue
		}
		for _, class := range []error{transport.ErrNotExist, fs.ErrPermission} {
			if errors.Is(r.Err, class) != (class == c.class) { //nolint:errorlint // both are the sentinels of this table
				t.Errorf("%s: error %v, is %q: %v", c.name, r.Err, class, errors.Is(r.Err, class))
			}
		}
	}
}
