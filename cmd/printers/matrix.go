package printers

import (
	"fmt"
	"io"
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

// Matrix prints clients × servers, as many servers beside each other as width allows (0: all), and below it a line for each check that is
// not as wanted.
func Matrix(out io.Writer, s Style, cells []tasks.Cell, width int) {
	clients, servers := []string{}, []string{}
	pairs := map[[2]string]*pairing{}
	seenClient, seenServer := map[string]bool{}, map[string]bool{}
	for _, c := range cells {
		server := serverName(c)
		if !seenClient[c.Client] {
			seenClient[c.Client], clients = true, append(clients, c.Client)
		}
		if !seenServer[server] {
			seenServer[server], servers = true, append(servers, server)
		}
		p := pairs[[2]string{c.Client, server}]
		if p == nil {
			p = &pairing{}
			pairs[[2]string{c.Client, server}] = p
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
	for i, part := range chunks(clients, servers, pairs, width) {
		if i > 0 {
			fmt.Fprintln(out)
		}
		part.print(out, s)
	}
	Differences(out, s, cells)
}

// serverName is a server as the table's column: its cluster is named when it has one besides the usual.
func serverName(c tasks.Cell) string {
	if c.Cluster == "" {
		return c.Server
	}
	return c.Server + " " + c.Cluster
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

// Differences prints each check that is not as wanted, or could not be tried, and a sum.
func Differences(out io.Writer, s Style, cells []tasks.Cell) {
	var all pairing
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
		if all.differ+all.unproven == 1 {
			fmt.Fprintln(out)
		}
		difference(out, s, c)
	}
	sum := fmt.Sprintf("%s: %d as wanted, %d differ, %d not proven", count(len(cells), "check"), all.ok, all.differ, all.unproven)
	fmt.Fprintln(out, "\n"+s.paint(bold, sum))
}

func difference(out io.Writer, s Style, c tasks.Cell) {
	mark := s.paint(red, "differs   ")
	if c.NotProven {
		mark = s.paint(yellow, "not proven")
	}
	who := c.Client
	if c.Identity != "" {
		who += " as " + c.Identity
	}
	fmt.Fprintf(out, "  %s  %s -> %s  %s\n", mark, Clean(who), Clean(serverName(c)), Clean(c.Check))
	fmt.Fprintf(out, "              wanted: %s\n", oneLine(c.Want))
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
