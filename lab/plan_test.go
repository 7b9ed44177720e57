package lab

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgfleet/pgfleet/inventory"
)

func TestNames(t *testing.T) {
	for _, c := range []struct {
		db, client int
		subnet     string
		want       []string
	}{
		{0, 0, "10.88.0.0/24", []string{"ca1 10.88.0.11", "ca2 10.88.0.12", "ca3 10.88.0.13"}},
		{1, 2, "10.88.7.0/24", []string{"ca1 10.88.7.11", "ca2 10.88.7.12", "ca3 10.88.7.13", "db1 10.88.7.21", "app1 10.88.7.31", "app2 10.88.7.32"}},
		{10, 0, "10.88.0.0/24", []string{"ca1 10.88.0.11", "ca2 10.88.0.12", "ca3 10.88.0.13", "db01 10.88.0.21", "db02 10.88.0.22", "db03 10.88.0.23", "db04 10.88.0.24",
			"db05 10.88.0.25", "db06 10.88.0.26", "db07 10.88.0.27", "db08 10.88.0.28", "db09 10.88.0.29", "db10 10.88.0.30"}},
	} {
		hosts, err := plan(Options{DB: c.db, Client: c.client})
		if err != nil {
			t.Fatal(err)
		}
		number(hosts, netip.MustParsePrefix(c.subnet))
		var got []string
		for _, h := range hosts {
			got = append(got, h.Short+" "+h.Addr)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%d + %d: %s", c.db, c.client, diff)
		}
	}
}

func TestAddressesFit(t *testing.T) {
	for _, n := range []int{0, 1, 9, 10, 100, 206, 207, 400} {
		hosts, err := plan(Options{DB: n, Client: n})
		if err != nil {
			t.Fatal(err)
		}
		subnet := netip.PrefixFrom(netip.MustParseAddr("10.88.4.0"), subnetBits(len(hosts)))
		number(hosts, subnet)
		seen := map[string]bool{"10.88.4.0": true, "10.88.4.1": true}
		for _, h := range hosts {
			if seen[h.Addr] || !subnet.Contains(netip.MustParseAddr(h.Addr)) {
				t.Fatalf("%d each, in %s: %s has %s", n, subnet, h.Short, h.Addr)
			}
			seen[h.Addr] = true
		}
		if last := netip.MustParseAddr(hosts[len(hosts)-1].Addr).Next(); !subnet.Contains(last) {
			t.Errorf("%d each: the last host has the broadcast address of %s", n, subnet)
		}
	}
}

func TestFreeSubnet(t *testing.T) {
	for _, c := range []struct {
		bits       int
		used, want string
	}{
		{24, "127.0.0.1/8 192.168.1.5/24", "10.88.0.0/24"},
		{24, "10.88.0.1/24 10.88.2.1/24", "10.88.1.0/24"},
		{22, "10.88.0.1/24", "10.88.4.0/22"},
		{24, "10.88.0.1/22", "10.88.4.0/24"},
		{24, "10.88.0.1/16", "10.88.1.0/24"}, // a container engine's
		{24, "10.0.0.5/8", "10.88.0.0/24"},   // the office's
		{22, "10.88.0.1/24 10.88.4.1/24 10.88.8.1/23", "10.88.12.0/22"},
	} {
		var used []netip.Prefix
		for _, u := range strings.Fields(c.used) {
			used = append(used, netip.MustParsePrefix(u))
		}
		got, err := freeSubnet(c.bits, used)
		if err != nil || got.String() != c.want {
			t.Errorf("/%d beside %s: got %s, %v, want %s", c.bits, c.used, got, err, c.want)
		}
	}
	var all []netip.Prefix
	for i := range 256 {
		all = append(all, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 88, byte(i), 1}), 24))
	}
	if got, err := freeSubnet(24, all); err == nil {
		t.Errorf("all in use: got %s", got)
	}
}

func TestVariantErrors(t *testing.T) {
	for _, text := range []string{"", "sudo=", "ca=root-login", "root=ca"} {
		if v, err := ParseVariant(text); err == nil {
			t.Errorf("%q: got %+v", text, v)
		}
	}
	if _, err := plan(Options{DB: 1, Variants: []Variant{{Hosts: "app1", Access: Sudo}}}); err == nil {
		t.Error("a variant of a host that is not there is accepted")
	}
	for _, host := range []string{"db2", "app1", "db1.example.net"} {
		if _, err := plan(Options{DB: 1, Client: 1, PostgreSQL: map[string]string{host: "/opt/pg"}}); err == nil {
			t.Errorf("a PostgreSQL for %s is accepted", host)
		}
	}
}

func TestOptionErrors(t *testing.T) {
	for _, o := range []Options{
		{Name: "Lab"}, {Name: "a/b"}, {Name: "-"}, {Folder: "relative"}, {Folder: "/"}, {Folder: "/a,b"}, {Folder: "/a:b"}, {DB: -1}, {Client: 401},
		{RTT: -1}, {RTT: time.Hour}, {Mask: []string{"/"}}, {Mask: []string{"x"}}, {PostgreSQL: map[string]string{"db1": "x"}},
	} {
		if _, err := o.filled(); err == nil {
			t.Errorf("%+v: accepted", o)
		}
	}
}

// Every inventory that a lab may write is one that pgfleet reads.
func TestInventoryIsRead(t *testing.T) {
	for _, o := range []Options{
		{}, {DB: 1}, {DB: 1, Client: 1}, {DB: 20, Client: 20, RTT: time.Millisecond},
		{DB: 2, Client: 2, Variants: []Variant{{Access: SudoPassword}, {Hosts: "ca", Access: NoSudo}, {Hosts: "db2", Access: RootLogin}}},
	} {
		hosts, err := plan(o)
		if err != nil {
			t.Fatal(err)
		}
		number(hosts, netip.MustParsePrefix("10.88.0.0/22"))
		s := state{Name: "lab1", Folder: "/var/lib/pgfleet-lab/lab1", Hosts: hosts, RTT: o.RTT}
		inv, err := inventory.Parse("inventory.yaml", []byte(inventoryText(s)), inventory.Options{SSHConfig: "none"})
		if err != nil {
			t.Errorf("%+v: %v\n%s", o, err, inventoryText(s))
			continue
		}
		if len(inv.Hosts) != len(hosts) || len(inv.Authorities) != 3 {
			t.Errorf("%+v: %d hosts, %d authorities", o, len(inv.Hosts), len(inv.Authorities))
		}
	}
}

func TestKnownHosts(t *testing.T) {
	got := knownHostsLines(Host{Name: "db1.example.net", Short: "db1", Addr: "10.88.0.21", Port: 2222}, []string{"ssh-ed25519 AAAA root@db1\n"})
	want := "db1.example.net,db1,10.88.0.21,[db1.example.net]:2222,[db1]:2222,[10.88.0.21]:2222 ssh-ed25519 AAAA\n"
	if got != want {
		t.Errorf("got %q", got)
	}
}
