package tasks

import (
	"slices"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

// TellsTime says whether the probe with that key tells the host's time too: that of an authority, that of PostgreSQL's clusters, and that of /etc/hosts. None of
// these is an OS user's word.
func TellsTime(key string) bool {
	return key == KeyPostgres || strings.HasPrefix(key, KeyAuthority("")) || strings.HasPrefix(key, keyHostsFile)
}

// HostTime gives the host's time, in whole seconds, from the result of a probe that tells it; false when this one does not.
func HostTime(r transport.Result) (time.Time, bool) {
	switch {
	case strings.HasPrefix(r.Key, keyHostsFile): // also where it failed because it does not know what names resolve to
		l, err := parseLook(r.Stdout)
		if err != nil || l.Time.IsZero() {
			return time.Time{}, false
		}
		return l.Time, true
	case r.Err != nil || !TellsTime(r.Key):
		return time.Time{}, false
	case r.Key == KeyPostgres:
		records, _ := readRecords(r.Stdout)
		i := slices.IndexFunc(records, func(r record) bool { return r.name == "host" })
		if i < 0 {
			return time.Time{}, false
		}
		at := unixTime(keyValues(records[i].body)["now"])
		return at, !at.IsZero()
	}
	state, err := ParseAuthority(r)
	if err != nil {
		return time.Time{}, false
	}
	return state.Time, true
}
