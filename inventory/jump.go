package inventory

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// hop is one bastion as written: user@host:port, where user ("") and port (0) may be left out.
type hop struct {
	user, host string
	port       int
}

func (h hop) String() string {
	text := h.host
	if strings.Contains(text, ":") {
		text = "[" + text + "]"
	}
	if h.user != "" {
		text = h.user + "@" + text
	}
	if h.port != 0 {
		text += ":" + strconv.Itoa(h.port)
	}
	return text
}

// parseHop reads one hop of ssh_config(5) ProxyJump: [user@]host[:port], [user@][ipv6]:port or ssh://[user@]host[:port].
func parseHop(text string) (hop, error) {
	bad := fmt.Errorf("%q is no jump host; write user@host:port, where user and port may be left out", short(text))
	rest, isURL := strings.CutPrefix(text, "ssh://")
	if isURL {
		rest = strings.TrimSuffix(rest, "/")
	}
	var h hop
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		h.user, rest = rest[:i], rest[i+1:]
		if isURL {
			user, err := url.PathUnescape(h.user)
			if err != nil {
				return hop{}, bad
			}
			h.user = user
		}
		if h.user == "" || strings.HasPrefix(h.user, "-") || strings.ContainsAny(h.user, " \t\r\n\x00'`\"\\$;&<>|(){}") {
			return hop{}, bad
		}
	}
	h.host = rest
	if end := strings.IndexByte(rest, ']'); strings.HasPrefix(rest, "[") && end > 0 {
		h.host, rest = rest[1:end], rest[end+1:]
		if rest == "" {
			return h, checkHop(h, bad)
		}
	} else if i := strings.IndexByte(rest, ':'); i >= 0 && !isIPv6(rest) {
		h.host, rest = rest[:i], rest[i:]
	} else {
		return h, checkHop(h, bad)
	}
	port, err := strconv.Atoi(strings.TrimPrefix(rest, ":"))
	if err != nil || !strings.HasPrefix(rest, ":") || port < 1 || port > 65535 || rest[1] == '+' {
		return hop{}, bad
	}
	h.port = port
	return h, checkHop(h, bad)
}

func checkHop(h hop, bad error) error {
	if checkHost(h.host) != nil {
		return bad
	}
	return nil
}
