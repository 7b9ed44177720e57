package printers

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks/survey"
)

// CertsOptions say how certificates are shown.
type CertsOptions struct {
	Style Style
	// Width of the output in columns; 0 means that nothing limits it.
	Width int
	// Verbose tells of everything that is not as it should be, however much it is.
	Verbose bool
	// Orphans: the rows are those of certs --orphans.
	Orphans bool
}

// CertsJSONL prints one row a line.
func CertsJSONL(out io.Writer, rows []survey.Row) error {
	for _, r := range rows {
		if err := encoder(out, "").Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// certColumns are the columns of the table. Where the width is not enough, the one with the highest drop is left out first; 0: it stays.
var certColumns = []struct {
	name string
	drop int
	cell func(survey.Row) cell
}{
	{"state", 0, func(r survey.Row) cell { return cell{r.State.Word(), levelColor(r.State)} }},
	{"days left", 0, func(r survey.Row) cell { return plain(daysLeft(r)) }},
	{"not after", 2, func(r survey.Row) cell { return plain(notAfter(r)) }},
	{"host", 0, func(r survey.Row) cell { return plain(r.Host) }},
	{"role", 3, func(r survey.Row) cell { return plain(r.Role) }},
	{"path", 0, func(r survey.Row) cell { return plain(Clean(r.Path)) }},
	{"subject", 1, func(r survey.Row) cell { return plain(Clean(certSubject(r))) }},
	{"names", 5, func(r survey.Row) cell { return plain(Clean(strings.Join(r.Names, " "))) }},
	{"issuer", 4, func(r survey.Row) cell { return plain(Clean(r.Issuer)) }},
	{"serial", 6, func(r survey.Row) cell { return plain(r.Serial) }},
}

// pathColumn is shortened, to fairPath columns before another one is left out, and to leastPath when none is left.
const (
	pathColumn = "path"
	fairPath   = 36
	leastPath  = 16
)

func levelColor(s survey.State) string {
	switch {
	case s == survey.NotInForce:
		return faint
	case s.Level() == survey.Broken:
		return red
	case s.Level() == survey.Warning:
		return yellow
	}
	return green
}

func daysLeft(r survey.Row) string {
	if r.DaysLeft == nil {
		return ""
	}
	return strconv.Itoa(*r.DaysLeft)
}

func notAfter(r survey.Row) string {
	if r.NotAfter == nil {
		return ""
	}
	return r.NotAfter.Format("2006-01-02")
}

// certSubject is what a row is about, in a word or two.
func certSubject(r survey.Row) string {
	switch {
	case r.Subject != "":
		return r.Subject
	case r.Kind == survey.KindList && r.Number != "":
		return "list " + r.Number
	case r.Kind == survey.KindList:
		return "list"
	case r.Kind == survey.KindKey:
		return "key"
	}
	return string(r.Kind)
}

// Certs prints certificates, keys and lists as a table, below it what is wrong with them, what could not be looked at, and a count.
func Certs(out io.Writer, opt CertsOptions, rows []survey.Row) {
	var seen, unseen []survey.Row
	for _, r := range rows {
		if r.Kind == survey.KindHost {
			unseen = append(unseen, r)
		} else {
			seen = append(seen, r)
		}
	}
	if len(seen) > 0 {
		certTable(opt, seen).print(out, opt.Style)
	}
	certReasons(out, opt, seen)
	certUnseen(out, opt, unseen)
	if opt.Orphans && len(rows) == 0 {
		fmt.Fprintln(out, "no orphans: what was issued and is good is where it should be")
	} else if opt.Orphans && len(seen) == 0 {
		fmt.Fprintln(out, "\nno orphans where could be looked")
	} else {
		certCount(out, opt, seen)
	}
}

// certTable fits the table into the width.
func certTable(opt CertsOptions, rows []survey.Row) *table {
	for drop := len(certColumns); ; drop-- {
		t := &table{}
		at := 0
		for _, c := range certColumns {
			if c.drop > drop {
				continue
			}
			if c.name == pathColumn {
				at = len(t.header)
			}
			t.header = append(t.header, c.name)
		}
		for _, r := range rows {
			var row []cell
			for _, c := range certColumns {
				if c.drop <= drop {
					row = append(row, c.cell(r))
				}
			}
			t.add(row...)
		}
		room := t.widths()[at] - max(t.width()-opt.Width, 0)
		switch {
		case opt.Width == 0:
			return t
		case room < fairPath && room < t.widths()[at] && drop > 0:
			continue
		}
		for _, row := range t.rows {
			row[at].text = cutLeft(row[at].text, max(room, leastPath))
		}
		return t
	}
}

// width of the widest line.
func (t *table) width() int {
	sum := 2 * (len(t.header) - 1)
	for _, w := range t.widths() {
		sum += w
	}
	return sum
}

// cutLeft shortens text to width columns and keeps its end.
func cutLeft(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	r := []rune(text)
	return "…" + string(r[len(r)-width+1:])
}

// fewReasons is how many rows have their reasons told without -v.
const fewReasons = 20

// certReasons tells what is wrong, equal things once.
func certReasons(out io.Writer, opt CertsOptions, rows []survey.Row) {
	type story struct {
		survey.Finding
		at []string
	}
	var stories []*story
	found := map[survey.Finding]*story{}
	for _, r := range rows {
		for _, f := range r.Findings {
			s := found[f]
			if s == nil {
				s = &story{Finding: f}
				found[f] = s
				stories = append(stories, s)
			}
			s.at = append(s.at, strings.Trim(r.Host+":"+r.Path, ":"))
		}
	}
	slices.SortStableFunc(stories, func(a, b *story) int { return survey.Compare(a.State, b.State) })
	for i, s := range stories {
		if i == fewReasons && !opt.Verbose {
			fmt.Fprintf(out, "\n%d more; -v shows all\n", len(stories)-i)
			return
		}
		where := s.at[0]
		if n := len(s.at) - 1; n > 0 {
			where += fmt.Sprintf(" and %d more", n)
		}
		fmt.Fprintf(out, "\n%s %s\n", opt.Style.paint(levelColor(s.State), s.State.Word()+":"), Clean(where))
		opt.paragraph(out, "", oneLine(s.Reason))
		if s.Hint != "" {
			opt.paragraph(out, "hint: ", oneLine(s.Hint))
		}
	}
}

// paragraph prints text below a heading, wrapped where the width is known. label is painted as hints are.
func (opt CertsOptions) paragraph(out io.Writer, label, text string) {
	list := []string{text}
	if opt.Width > 0 {
		list = wrap(text, max(opt.Width-2-len(label), 20))
	}
	for i, l := range list {
		head := strings.Repeat(" ", len(label))
		if i == 0 {
			head = opt.Style.paint(cyan, strings.TrimSuffix(label, " ")) + strings.Repeat(" ", len(label)-len(strings.TrimSuffix(label, " ")))
		}
		fmt.Fprintf(out, "  %s%s\n", head, l)
	}
}

// certUnseen tells what could not be looked at.
func certUnseen(out io.Writer, opt CertsOptions, rows []survey.Row) {
	for _, r := range rows {
		where := r.Host
		if r.Holder != "" {
			where += " (" + Clean(r.Holder) + ")"
		}
		f := r.Findings[0]
		fmt.Fprintf(out, "\n%s\n", opt.Style.paint(red, "not seen: "+where))
		opt.paragraph(out, "", because(events.Unreachable, ofHost(r.Host, oneLine(f.Reason))))
		if f.Hint != "" {
			opt.paragraph(out, "hint: ", oneLine(f.Hint))
		}
	}
}

// certCount ends the table.
func certCount(out io.Writer, opt CertsOptions, rows []survey.Row) {
	number := map[survey.State]int{}
	var states []survey.State
	hosts := map[string]bool{}
	for _, r := range rows {
		if number[r.State]++; number[r.State] == 1 {
			states = append(states, r.State)
		}
		if r.Host != "" { // an authority's that is on no host
			hosts[r.Host] = true
		}
	}
	slices.SortFunc(states, survey.Compare)
	parts := make([]string, len(states))
	for i, s := range states {
		parts[i] = opt.Style.paint(levelColor(s), fmt.Sprintf("%d %s", number[s], s.Word()))
	}
	text := fmt.Sprintf("%d certificates, keys and lists on %s", len(rows), Count(len(hosts), "host"))
	if opt.Orphans {
		text = fmt.Sprintf("%s on %s", Count(len(rows), "certificate"), Count(len(hosts), "host"))
	}
	if len(parts) > 0 {
		text += ": " + strings.Join(parts, ", ")
	}
	fmt.Fprintf(out, "\n%s\n", text)
}
