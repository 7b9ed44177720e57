package tasks

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/survey"
)

// soonest is how long before its end a list is told of at most: those of an authority that is offline live for years.
const soonest = 30 * 24 * time.Hour

// EndingList is a list of revoked certificates in force that has ended, or ends soon, and that the task that tells of it does not renew.
type EndingList struct {
	// Host where it is in force. List names it ("list 3 of CN=house"); Why says when it ends and who is refused then; Hint what brings a newer one.
	Host, List, Why, Hint string
}

// Watcher is a Task that tells of lists that end, too. The runner asks it at the end of the run, of each host that was looked at; what it tells changes no host's
// result, but decides the exit code.
type Watcher interface {
	Task
	Endings(h *Host) []EndingList
}

// Endings tells of the lists in force on a server or a client that end with the last third of their life, at most soonest from now, or have ended. Which certificates were revoked is another matter.
func (t *crlTask) Endings(h *Host) []EndingList {
	if len(t.named) > 0 {
		return nil
	}
	s := &surveyor{fleet: h.Fleet, out: &survey.Fleet{Now: h.Fleet.Now, Hosts: map[string]bool{}}}
	s.known()
	if t.server(h) {
		s.servers(h)
	} else {
		s.clients(h)
	}
	var out []EndingList
	for _, r := range survey.Judge(s.out) {
		if r.Host != h.Name || r.List == nil || !r.Ends(h.Fleet.Now, soonest) {
			continue
		}
		for _, f := range r.Findings {
			if f.State == survey.Expired || f.State == survey.ListEnding {
				out = append(out, EndingList{Host: h.Name, List: fmt.Sprintf("list %s of %s", r.Number, r.Issuer), Why: f.Reason, Hint: f.Hint})
			}
		}
	}
	return out
}

// known gathers the authorities of the inventory as far as a run knows them.
func (s *surveyor) known() {
	for _, name := range sortedKeys(s.fleet.Authorities) {
		a := s.fleet.Authorities[name]
		fact := survey.Authority{Name: name, Subject: a.Subject, External: a.External != ""}
		if a.Foreign() {
			s.foreign(&fact, a)
		} else if cert, err := s.fleet.CA.Certificate(name); err == nil {
			fact.Cert = cert
			if list, err := s.fleet.CA.CRL(name); err == nil {
				fact.List = list
			}
		}
		s.out.Authorities = append(s.out.Authorities, fact)
	}
}

// MergeEndings makes one of each list that is told of several hosts, in the order in which they were told. A hint for all of them chooses no host.
func MergeEndings(told []EndingList) []EndingList {
	var out []EndingList
	var hosts [][]string
	const here = "\x00"
	for _, e := range told {
		all := e
		all.Host, all.Hint = "", replaceWord(e.Hint, e.Host, here)
		i := slices.Index(out, all)
		if i < 0 {
			i = len(out)
			out, hosts = append(out, all), append(hosts, nil)
		}
		if !slices.Contains(hosts[i], e.Host) {
			hosts[i] = append(hosts[i], e.Host)
		}
	}
	for i := range out {
		out[i].Host = inShort(hosts[i], 3, ", ")
		if len(hosts[i]) > 1 {
			out[i].Hint = strings.ReplaceAll(out[i].Hint, " -l "+here, "")
		}
		out[i].Hint = strings.ReplaceAll(out[i].Hint, here, out[i].Host)
	}
	return out
}

// replaceWord replaces a word of a text, be a comma behind it or not.
func replaceWord(text, word, by string) string {
	words := strings.Split(text, " ")
	for i, w := range words {
		if strings.TrimSuffix(w, ",") == word {
			words[i] = by + w[len(word):]
		}
	}
	return strings.Join(words, " ")
}
