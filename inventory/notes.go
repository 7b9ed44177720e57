package inventory

import (
	"fmt"
	"sort"
	"strings"

	"github.com/pgfleet/pgfleet/inventory/sshconfig"
)

// followed are the ssh_config keywords that pgfleet follows.
var followed = words(`hostname user port identityfile identitiesonly certificatefile userknownhostsfile globalknownhostsfile proxyjump
	proxycommand hostkeyalias connecttimeout serveraliveinterval identityagent`)

// irrelevant are those that say nothing about how a host is reached or trusted: terminals, forwarding, sharing of connections, other ways to
// log in than keys, what ssh prints.
var irrelevant = words(`addkeystoagent batchmode channeltimeout checkhostip clearallforwardings compression compressionlevel
	connectionattempts controlmaster controlpath controlpersist dynamicforward enableescapecommandline enablesshkeysign escapechar
	exitonforwardfailure fingerprinthash forkafterauthentication forwardagent forwardx11 forwardx11timeout forwardx11trusted gatewayports
	gssapiauthentication gssapidelegatecredentials hashknownhosts hostbasedauthentication hostbasedacceptedalgorithms hostbasedkeytypes
	ignoreunknown ipqos kbdinteractiveauthentication kbdinteractivedevices challengeresponseauthentication localcommand localforward
	loglevel logverbose numberofpasswordprompts obscurekeystroketiming passwordauthentication permitlocalcommand permitremoteopen protocol
	rekeylimit remotecommand remoteforward requesttty sendenv serveralivecountmax sessiontype setenv stdinnull streamlocalbindmask
	streamlocalbindunlink syslogfacility tag tcpkeepalive tunnel tunneldevice updatehostkeys usekeychain visualhostkey xauthlocation`)

func words(text string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(text) {
		out[w] = true
	}
	return out
}

// notes collects what is to be told of the ssh_config: once a line of it, with the hosts that it concerns.
type notes struct {
	warn, bad map[Problem]map[string]bool
}

func newNotes() *notes {
	return &notes{map[Problem]map[string]bool{}, map[Problem]map[string]bool{}}
}

func note(m map[Problem]map[string]bool, file string, line int, text, host string) {
	p := Problem{file, line, text}
	if m[p] == nil {
		m[p] = map[string]bool{}
	}
	m[p][host] = true
}

func (n *notes) problem(file string, line int, text, host string) {
	note(n.bad, file, line, text, host)
}

func (n *notes) count() int { return len(n.bad) }

// read notes what applies to a host and is not followed.
func (n *notes) read(a *sshconfig.Answer, host string) {
	for _, m := range a.Mistakes {
		n.problem(m.File, m.Line, m.Text, host)
	}
	for _, v := range a.Unsure {
		note(n.warn, v.File, v.Line, "Match "+v.Args[0]+" is not supported: this block is passed over", host)
	}
	for key, values := range a.Values {
		if followed[key] || irrelevant[key] {
			continue
		}
		for _, v := range values {
			if text := verdict(key, v); text != "" {
				note(n.warn, v.File, v.Line, text, host)
			}
		}
	}
}

// verdict says why a directive that is not followed matters, "" when this value of it changes nothing.
func verdict(key string, v sshconfig.Value) string {
	value := strings.ToLower(strings.Join(v.Args, " "))
	switch {
	case key == "stricthostkeychecking":
		if value == "ask" || value == "yes" {
			return ""
		}
		return v.Keyword + " " + value + " is not followed: host keys are always checked"
	case value == "none" || value == "no" && key != "pubkeyauthentication" || value == "yes" && key == "pubkeyauthentication",
		key == "addressfamily" && value == "any":
		return ""
	}
	return v.Keyword + " is not followed"
}

// warnings gives one line each: file:line: text (hosts).
func (n *notes) warnings() []string {
	var out []string
	for _, p := range listed(n.warn) {
		out = append(out, Problems{p}.Error())
	}
	return out
}

func (n *notes) problems() Problems { return listed(n.bad) }

// listed gives the notes in order, each with the hosts that it concerns.
func listed(m map[Problem]map[string]bool) Problems {
	var out Problems
	for p, hosts := range m {
		names := keysOf(hosts)
		tail := ""
		if len(names) > 3 {
			tail = fmt.Sprintf(" and %d more", len(names)-3)
			names = names[:3]
		}
		p.Text += " (" + strings.Join(names, ", ") + tail + ")"
		out = append(out, p)
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].File != out[j].File {
			return out[i].File < out[j].File
		}
		if out[i].Line != out[j].Line {
			return out[i].Line < out[j].Line
		}
		return out[i].Text < out[j].Text
	})
	return out
}
