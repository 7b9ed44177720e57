package playbooks

import "slices"

// related gives the hosts that a host has to do with, one by one: i counts from 0, false means that there are no more. It is mutual: hosts with authorities are
// related to every host, a client to the servers that it uses, a server to its clients. nil is one that is not part of the run.
func (r *runner) related(h *hostRun, i int) (*hostRun, bool) {
	if slices.Contains(r.signers, h) {
		return pick(r.order, i)
	}
	if other, ok := pick(r.signers, i); ok {
		return other, true
	}
	i -= len(r.signers)
	if name, ok := pick(h.host.Servers, i); ok {
		return r.hosts[name], true
	}
	if client, ok := pick(r.fleet.UsedBy[h.inv.Name], i-len(h.host.Servers)); ok {
		return r.hosts[client.Name], true
	}
	return nil, false
}

// pick gives an element of list; false beyond its end.
func pick[T any](list []T, i int) (T, bool) {
	var none T
	if i >= len(list) {
		return none, false
	}
	return list[i], true
}
