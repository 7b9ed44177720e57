package printers

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pgfleet/pgfleet/tasks"
)

// pairing is all checks of one client on one server.
type pairing struct{ ok, differ, unproven int }

func (p pairing) cell() cell {
	all := p.ok + p.differ + p.unproven
	switch {
	case all == 0:
		return cell{"-", faint}
	case p.differ > 0:
		return cell{fmt.Sprintf("%d of %d differ", p.differ, all), red}
	case p.unproven > 0:
		return cell{fmt.Sprintf("ok %d/%d, %d not proven", p.ok, all, p.unproven), yellow}
	}
	return cell{fmt.Sprintf("ok %d/%d", p.ok, all), green}
}

// largeMatrix is the number of fields from which on a matrix that is mostly empty is printed as a list.
const largeMatrix = 1000

// Matrix prints clients × servers, as many servers beside each other as width allows (0: all), and below it a line for each check that is
// not as wanted. A large one of which most fields are empty, since each client uses few of the servers, becomes a list of those in use.
func Matrix(out io.Writer, s Style, cells []tasks.Cell, width int) {
	cells = named(cells)
	var clients, servers []string
	pairs := map[[2]string]*pairing{}
	for _, c := range cells {
		key := [2]string{c.Client, c.Server}
		p := pairs[key]
		if p == nil {
			p = &pairing{}
			pairs[key] = p
			clients, servers = append(clients, c.Client), append(servers, c.Server)
		}
		switch {
		case c.NotProven:
			p.unproven++
		case c.OK:
			p.ok++
		default:
			p.differ++
		}
	}
	clients, servers = distinct(clients), distinct(servers)
	var parts []table
	if fields := len(clients) * len(servers); fields >= largeMatrix && 4*len(pairs) < fields {
		parts = append(parts, pairList(cells, pairs))
	} else {
		parts = chunks(clients, servers, pairs, width)
	}
	for i, part := range parts {
		if i > 0 {
			fmt.Fprintln(out)
		}
		part.print(out, s)
	}
	differences(out, s, cells)
}

// pairList is a line for each pair of client and server, in the order of cells.
func pairList(cells []tasks.Cell, pairs map[[2]string]*pairing) table {
	t := table{header: []string{"client", "server", "checks"}}
	last := [2]string{}
	for _, c := range cells {
		if key := [2]string{c.Client, c.Server}; key != last {
			last = key
			t.add(plain(c.Client), plain(c.Server), pairs[key].cell())
		}
	}
	return t
}

// named gives cells in the order of client and server, with the cluster as part of the server's name where a server has several.
func named(cells []tasks.Cell) []tasks.Cell {
	clusters := map[string]map[string]bool{}
	for _, c := range cells {
		if clusters[c.Server] == nil {
			clusters[c.Server] = map[string]bool{}
		}
		clusters[c.Server][c.Cluster] = true
	}
	out := slices.Clone(cells)
	for i, c := range out {
		if len(clusters[c.Server]) > 1 {
			out[i].Server += " " + c.Cluster
		}
	}
	slices.SortStableFunc(out, func(a, b tasks.Cell) int {
		return cmp.Or(byNumber(a.Client, b.Client), byNumber(a.Server, b.Server))
	})
	return out
}

// distinct sorts names and drops those that come twice.
func distinct(names []string) []string {
	slices.SortFunc(names, byNumber)
	return slices.Compact(names)
}

// byNumber compares names so that db2 comes before db10.
func byNumber(a, b string) int {
	rest := [2]string{a, b}
	for rest[0] != "" && rest[1] != "" {
		x, y := digits(rest[0]), digits(rest[1])
		if x == "" || y == "" {
			if rest[0][0] != rest[1][0] {
				return cmp.Compare(rest[0][0], rest[1][0])
			}
			rest[0], rest[1] = rest[0][1:], rest[1][1:]
			continue
		}
		rest[0], rest[1] = rest[0][len(x):], rest[1][len(y):]
		x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
		if c := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y)); c != 0 {
			return c
		}
	}
	return cmp.Or(cmp.Compare(len(rest[0]), len(rest[1])), cmp.Compare(a, b))
}

// digits gives the digits that a text begins with.
func digits(text string) string {
	n := 0
	for n < len(text) && text[n] >= '0' && text[n] <= '9' {
		n++
	}
	return text[:n]
}

// chunks cuts the matrix into tables that are not wider than width.
func chunks(clients, servers []string, pairs map[[2]string]*pairing, width int) []table {
	first := utf8.RuneCountInString("client")
	for _, c := range clients {
		first = max(first, utf8.RuneCountInString(c))
	}
	var out []table
	for len(servers) > 0 {
		used, n := first, 0
		for n < len(servers) {
			w := utf8.RuneCountInString(servers[n])
			for _, c := range clients {
				if p := pairs[[2]string{c, servers[n]}]; p != nil {
					w = max(w, utf8.RuneCountInString(p.cell().text))
				}
			}
			if used += 2 + w; width > 0 && used > width && n > 0 {
				break
			}
			n++
		}
		out = append(out, part(clients, servers[:n], pairs))
		servers = servers[n:]
	}
	return out
}

func part(clients, servers []string, pairs map[[2]string]*pairing) table {
	t := table{header: append([]string{"client"}, servers...)}
	for _, c := range clients {
		row := []cell{plain(c)}
		for _, s := range servers {
			p := pairs[[2]string{c, s}]
			if p == nil {
				p = &pairing{}
			}
			row = append(row, p.cell())
		}
		t.add(row...)
	}
	return t
}

// differences prints each check that is not as wanted, or could not be tried, and a sum.
func differences(out io.Writer, s Style, cells []tasks.Cell) {
	var all pairing
	var groups [][]tasks.Cell
	for _, c := range cells {
		switch {
		case c.NotProven:
			all.unproven++
		case c.OK:
			all.ok++
			continue
		default:
			all.differ++
		}
		if last := len(groups) - 1; last >= 0 && sameStory(groups[last][0], c) {
			groups[last] = append(groups[last], c)
		} else {
			groups = append(groups, []tasks.Cell{c})
		}
	}
	for i, group := range groups {
		if i == 0 {
			fmt.Fprintln(out)
		}
		difference(out, s, group)
	}
	sum := fmt.Sprintf("%s: %d as wanted, %d differ, %d not proven", Count(len(cells), "check"), all.ok, all.differ, all.unproven)
	fmt.Fprintln(out, "\n"+s.paint(bold, sum))
}

// sameStory tells whether two checks of one identity on one server found the same.
func sameStory(a, b tasks.Cell) bool {
	return a.Client == b.Client && a.Server == b.Server && a.Cluster == b.Cluster && a.Identity == b.Identity && a.NotProven == b.NotProven &&
		a.Got == b.Got && a.Detail == b.Detail && a.Via == b.Via
}

// difference prints checks that found the same.
func difference(out io.Writer, s Style, group []tasks.Cell) {
	c := group[0]
	var checks, wants []string
	for _, one := range group {
		checks, wants = append(checks, one.Check), append(wants, oneLine(one.Want))
	}
	mark := s.paint(red, "differs   ")
	if c.NotProven {
		mark = s.paint(yellow, "not proven")
	}
	who := c.Client
	if c.Identity != "" {
		who += " as " + c.Identity
	}
	fmt.Fprintf(out, "  %s  %s -> %s  %s\n", mark, Clean(who), Clean(c.Server), Clean(strings.Join(checks, ", ")))
	fmt.Fprintf(out, "              wanted: %s\n", strings.Join(slices.Compact(wants), ", "))
	if !c.NotProven {
		fmt.Fprintf(out, "              found:  %s\n", oneLine(c.Got))
	}
	if c.Detail != "" && c.Detail != c.Got {
		via := ""
		if c.Via != "" {
			via = " (" + Clean(c.Via) + ")"
		}
		fmt.Fprintf(out, "              %s%s\n", s.paint(faint, oneLine(c.Detail)), via)
	}
}
