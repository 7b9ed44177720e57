package postgres

import (
	"net/netip"
	"slices"
	"strings"
)

// Withdraw takes the admissions of a role from some addresses out of the lines of a block (see SplitBlock). The refusals of the role stay, so that it is
// refused from there whatever rules follow. Exceptions are the user's own lines and stay. own: also the role's admissions from the host itself.
func Withdraw(block []string, user string, from []netip.Addr, own bool) []string {
	if own {
		block = withoutOwn(block, user)
	}
	declared := slices.IndexFunc(block, func(line string) bool { return line == declaredMark || line == replicationMark })
	if declared < 0 {
		return block
	}
	return append(slices.Clone(block[:declared+1]), slices.DeleteFunc(slices.Clone(block[declared+1:]), func(line string) bool {
		rules, err := ReadHBA([]byte(line), 18)
		if err != nil || len(rules) != 1 {
			return false
		}
		r := &rules[0]
		return r.Type == "hostssl" && r.Method != "reject" && len(r.Users) == 1 && r.Users[0].Text == user && r.Kind == AddressPrefix && r.Prefix.IsSingleIP() &&
			slices.Contains(from, r.Prefix.Addr())
	})...)
}

// withoutOwn takes a role's admissions from loopback addresses out of a block, and what stands above them once none is left.
func withoutOwn(block []string, user string) []string {
	at := slices.Index(block, ownMark)
	if at < 0 {
		return block
	}
	end := at + 1
	for end < len(block) && !strings.HasPrefix(block[end], "#") {
		end++
	}
	left := slices.DeleteFunc(slices.Clone(block[at+1:end]), func(line string) bool {
		rules, err := ReadHBA([]byte(line), 18)
		return err == nil && len(rules) == 1 && len(rules[0].Users) == 1 && rules[0].Users[0].Text == user
	})
	if len(left) > 0 {
		left = slices.Insert(left, 0, ownMark)
	}
	return slices.Concat(block[:at], left, block[end:])
}
