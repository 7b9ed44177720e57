package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// write writes RESULTS.md and the plot.
func (b *bench) write(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "scale.svg"), []byte(b.plot()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "RESULTS.md"), []byte(b.report()), 0o644)
}

func (b *bench) report() string {
	var w strings.Builder
	fmt.Fprintf(&w, "# pgfleet at scale: what was measured\n\nWritten by `make scale` on %s, in %s. %d cores, shared by pgfleet, the simulated hosts and the authorities' real `ca.sh`; load average at the "+
		"beginning %s. One run of each, one after the other, under whatever load the machine had just then: see the section on ratios before relying on any.\nWhat is simulated and what is real: [README.md](README.md).\n\n",
		b.began.Format("2006-01-02 15:04"), time.Since(b.began).Round(time.Second), runtime.NumCPU(), b.load)
	b.sizesTable(&w)
	b.goals(&w)
	b.signing(&w)
	b.others(&w)
	b.forksTable(&w)
	b.limits(&w)
	return w.String()
}

func secs(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }

func (b *bench) sizesTable(w *strings.Builder) {
	w.WriteString("## Wall time, CPU and memory against hosts\n\n![Wall time against hosts](scale.svg)\n\n" +
		"| step | hosts | wall | a host | pgfleet's CPU | a host | CPU of the simulator and ca.sh | peak memory | a host | open files | connections | round trips | printed |\n" +
		"|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for i, step := range steps {
		for _, n := range b.sizes {
			s := b.bySize[n][i]
			fmt.Fprintf(w, "| %s | %d | %s | %s | %s | %s | %s | %d MiB | %d KiB | %d | %d | %d | %d KiB |\n", step.name, n, secs(s.Wall), ms(s.perHost()), secs(s.CPU), ms(s.cpuPerHost()),
				secs(s.Simulator), s.Memory>>20, s.Memory>>10/int64(n), s.Files, s.Counts.Connections, s.Counts.Batches, s.Output>>10)
		}
	}
	w.WriteString("\n`first run` is the whole of `playbooks/mtls.yaml` on hosts that have nothing, with its proofs and its `quick` verification; `second run` finds nothing to change and " +
		"verifies again; `no tests` is the same without connections between clients and servers.\n\n")
}

// goals compares the largest size with the smallest.
func (b *bench) goals(w *strings.Builder) {
	small, large := b.sizes[0], b.sizes[len(b.sizes)-1]
	fmt.Fprintf(w, "## Time a host at %d against %d hosts\n\nThe goal is at most 1.2. One run of each size, minutes apart: on a machine that does other work, wall times compare loads as much as sizes, and it is the CPU that tells. A first run's depends on how long the authorities took: see [README.md](README.md).\n\n| step | wall | pgfleet's CPU | memory |\n|---|---:|---:|---:|\n", large, small)
	for i, step := range steps {
		s, l := b.bySize[small][i], b.bySize[large][i]
		fmt.Fprintf(w, "| %s | %.2f | %.2f | %.2f |\n", step.name, float64(l.perHost())/float64(s.perHost()), float64(l.cpuPerHost())/float64(s.cpuPerHost()),
			float64(l.Memory)/float64(l.Hosts)/(float64(s.Memory)/float64(s.Hosts)))
	}
	w.WriteString("\n")
}

func (b *bench) step(n int, name string) sample {
	for i, step := range steps {
		if step.name == name {
			return b.bySize[n][i]
		}
	}
	return sample{}
}

func (b *bench) signing(w *strings.Builder) {
	w.WriteString("## Signing in batches, and tests that grow with the pairs in use\n\nOf the certificates signed, nine in ten come from one authority on one host. What waits while a call of `ca.sh` is under way " +
		"goes into the next, at most 200 at a time.\n\n| hosts | certificates | calls of ca.sh | together | a certificate | test connections, first run | second run | clients at a server at once |\n|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, n := range b.sizes {
		first, second := b.step(n, "first run").Counts, b.step(n, "second run").Counts
		fmt.Fprintf(w, "| %d | %d | %d | %s | %s | %d | %d | %d |\n", n, first.Signed, first.SigningBatches, secs(first.Signing), ms(first.Signing/time.Duration(max(first.Signed, 1))), first.Tests, second.Tests,
			max(first.MostTesters, second.MostTesters))
	}
	w.WriteString("\nEach client uses one server here, so pairs grow with clients. pgfleet says the number before it makes them, and lets at most 4 clients test a server at a time.\n\n")
}

func (b *bench) others(w *strings.Builder) {
	get := func(name string) sample { return b.other[name] }
	n := b.small()
	w.WriteString("## One slow host, a bastion, limits of the other side\n\n")
	slow, check, run := get("slow exec"), get("slow check"), get("slow run")
	fmt.Fprintf(w, "- One of %d hosts answers after 10 s. `exec`: the last of the others was done after %s, all after %s. `run --check`: %s in all: every host is looked at before the first play begins, because one that cannot be "+
		"reached has to be known before anything is changed.\n", n, secs(last(slow.Lines, len(slow.Lines)-1)), secs(slow.Wall), secs(check.Wall))
	mine, others := enforced(run.Lines)
	fmt.Fprintf(w, "- One of %d hosts, a client, takes 30 s for its first change. `run`: its server asked for certificates after %s, the last of all others after %s; with the tests of all clients, which wait for everybody, %s.\n",
		n, secs(mine), secs(others), secs(run.Wall))
	ping, through := get("bastion ping"), get("bastion check")
	fmt.Fprintf(w, "- %d hosts behind one bastion with MaxStartups 10:30:100: `hosts --ping` %s, `run --check` %s, %d TCP connection of pgfleet's (%d logins, %d channels through it), %d dropped, %d open files.\n",
		n, secs(ping.Wall), secs(through.Wall), through.Counts.Connections-through.Counts.Forwards, through.Counts.Logins, through.Counts.Forwards, through.Counts.Dropped, through.Files)
	one := get("startups 1:100:1")
	fmt.Fprintf(w, "- MaxStartups is a limit of each host, and pgfleet makes one connection to each: with 1:100:1, %d were dropped. One that is dropped is tried "+
		"again up to 5 times, after a random wait: tested with a real sshd (TestMaxStartups in `transport/ssh`; a fleet behind a bastion with these limits as they are and at 1: TestBastion in `lab/e2e`).\n", one.Counts.Dropped)
	single := get("MaxSessions 1")
	fmt.Fprintf(w, "- MaxSessions 1, first run of %d hosts: exit %d in %s; %d sessions were refused, and files went through the shell instead of SFTP. With 10 (every other measurement): at most 3 sessions a host.\n",
		n, single.Exit, secs(single.Wall), single.Counts.Refused)
	hard, soft := get("hard limit 1024"), get("soft limit 1024")
	fmt.Fprintf(w, "- Open files, %d hosts: with a hard limit of 1024 exit %d, %d connections made, and the message below; with a soft limit of 1024 (Go raises it to the hard one at start) exit %d, %d files open at the most.\n\n```\n%s\n```\n\n",
		hard.Hosts, hard.Exit, hard.Counts.Connections, soft.Exit, soft.Files, hard.Err)
	h1, h2 := get(fmt.Sprintf("hashed %d", n)), get(fmt.Sprintf("hashed %d", 2*n))
	fmt.Fprintf(w, "- Hashed names in known_hosts (Debian's default for what ssh itself records): `hosts --ping` takes %s of CPU a host with %d lines, %s with %d. Every line has its own salt, so a name is hashed with every line that is "+
		"nobody's yet, 0.2 µs each: 2 s for 5,000 hosts, growing with the square of the fleet. `pgfleet trust` and plain names do not have it.\n\n", ms(h1.cpuPerHost()), n, ms(h2.cpuPerHost()), 2*n)
}

// last is when the nth line came, counted from 1 in the order of time.
func last(lines []line, n int) time.Duration {
	at := make([]time.Duration, len(lines))
	for i, l := range lines {
		at[i] = l.at
	}
	slices.Sort(at)
	return at[n-1]
}

// enforced is when the server of the first group ended its last task of the play in which servers ask for certificates, and the last of the others did.
func enforced(lines []line) (first, others time.Duration) {
	for _, l := range lines {
		var e struct{ Type, Play, Host string }
		if json.Unmarshal([]byte(l.text), &e) != nil || e.Type != "task" || e.Play != "Servers ask for certificates" {
			continue
		}
		if strings.HasPrefix(e.Host, "db0001") {
			first = max(first, l.at)
		} else {
			others = max(others, l.at)
		}
	}
	return first, others
}

func (b *bench) forksTable(w *strings.Builder) {
	fmt.Fprintf(w, "## Forks\n\n%d hosts that take 50 ms for each batch of steps; `run --check`.\n\n| -f | wall | pgfleet's CPU | peak memory |\n|---:|---:|---:|---:|\n", b.small())
	for _, s := range b.forks {
		fmt.Fprintf(w, "| %s | %s | %s | %d MiB |\n", s.Name, secs(s.Wall), secs(s.CPU), s.Memory>>20)
	}
	w.WriteString("\nWhile hosts are what is waited for, wall time falls with forks; then the CPU of this machine (both sides of every key exchange) and the 16 handshakes that are under way at once set it.\n\n")
}

func (b *bench) limits(w *strings.Builder) {
	n := b.sizes[len(b.sizes)-1]
	ping, first, second := b.step(n, "hosts --ping"), b.step(n, "first run"), b.step(n, "second run, no tests")
	per := ping.CPU.Seconds() / float64(n)
	fmt.Fprintf(w, "## The limit, and what sets it\n\n- Connecting costs pgfleet %.2f ms of CPU a host (key exchange mlkem768x25519, host key, login, shell, one round trip): one core connects to at most %.0f hosts a second, %d hosts take %.1f s of one core. "+
		"That floor is in every command.\n", 1000*per, 1/per, n, per*float64(n))
	fmt.Fprintf(w, "- A second run without tests costs %.2f ms of CPU a host, a first run %.2f ms, which is %.1f s of one core at %d hosts.\n", 1000*second.CPU.Seconds()/float64(n), 1000*first.CPU.Seconds()/float64(n), first.CPU.Seconds(), n)
	each := first.Counts.Signing / time.Duration(max(first.Counts.Signed, 1))
	fmt.Fprintf(w, "- In a first run of %s, `ca.sh` was at work for %s, on the same cores as all else here: %s a certificate, two processes of openssl each. One authority signs for all clients, one call after the other: "+
		"a first run takes at least that long, about %.0f certificates a second on this machine, whatever the controller.\n",
		secs(first.Wall), secs(first.Counts.Signing), ms(each), 1/each.Seconds())
	memory := float64(first.Memory) / float64(n)
	fmt.Fprintf(w, "- Memory: a run keeps every connection and what was seen of every host: %.0f KiB a host at the peak of a first run, so 1 GiB holds about %.0f hosts. Commands that leave a host when they are done with it (`exec`, `hosts --ping`) take %d MiB in all.\n",
		memory/1024, float64(1<<30)/memory, ping.Memory>>20)
	fmt.Fprintf(w, "- Open files: one a host that is not behind a bastion, and %d besides; the hard limit has to allow that (systemd's default, 524288, does).\n", max(first.Files-n, 0))
}
