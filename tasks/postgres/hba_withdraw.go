package postgres

import (
	"net/netip"
	"slices"
)

// Withdraw takes the admissions of a role from some addresses out of the lines of a block (see SplitBlock). The refusals of the role stay, so that it is
// refused from there whatever rules follow. Exceptions are the user's own lines and stay.
func Withdraw(block []string, user string, from []netip.Addr) []string {
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
