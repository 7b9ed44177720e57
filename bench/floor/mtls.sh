#!/bin/bash
# Mutual TLS for a fleet of PostgreSQL servers, by hand: mtls.sh SSH_CONFIG HOSTS
# HOSTS has a line a host: role, short name, name, address.
#
# The practical floor of the benchmark: all hosts at once, one ssh a host, one root shell behind it, and no more waiting than the data needs:
# a request has to reach its CA, a certificate has to come back. What runs on the hosts (authority.sh, server.sh, client.sh) starts as few processes as
# it can. It has no check mode, proves nothing, tests nothing, takes nothing back, and stops at the first surprise.
set -euo pipefail
here=$(dirname "$0") config=$1 hosts=$2

work=$(mktemp -d)
declare -A in out name addr
roots=() middles=() servers=() clients=() pids=()
trap 'rm -rf "$work"; [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true' EXIT

# connect HOST: a root shell on it; ${in[HOST]} and ${out[HOST]} are its ends here.
connect() {
	local h=$1 r w
	mkfifo "$work/$h.in" "$work/$h.out"
	ssh -F "$config" -o KexAlgorithms=curve25519-sha256 -o BatchMode=yes -T "$h" 'sudo -n sh -s' <"$work/$h.in" >"$work/$h.out" &
	pids+=($!)
	exec {w}>"$work/$h.in" {r}<"$work/$h.out"
	in[$h]=$w out[$h]=$r
}

# tell HOST: standard input is script for its shell. quote WORD: the word as a shell reads it.
tell() { cat >&"${in[$1]}"; }
quote() { printf "'%s'" "${1//\'/\'\\\'\'}"; }

# hear HOST: sets $heard to what the host says up to a line with a dot.
hear() {
	local line
	heard=
	while IFS= read -r line <&"${out[$1]}"; do
		[ "$line" != . ] || return 0
		heard+=$line$'\n'
	done
	echo "mtls.sh: $1 ended: $heard" >&2
	exit 1
}

# ask CA PROFILE HOST…: the CA signs the requests in ${csr[HOST]} in one go; answer CA HOST… puts the certificates into ${crt[HOST]}.
declare -A csr crt
ask() {
	local ca=$1 profile=$2 h
	shift 2
	{ printf 'sign %s' "$profile"; for h; do printf ' '; quote "${csr[$h]}"; done; echo; } | tell "$ca"
}
answer() {
	local ca=$1 h text
	shift
	hear "$ca"
	text=$heard
	for h; do
		crt[$h]=${text%%-----END CERTIFICATE-----*}-----END\ CERTIFICATE-----
		text=${text#*-----END CERTIFICATE-----$'\n'}
	done
}

while read -r role short long address; do
	name[$short]=$long addr[$short]=$address
	case $role in
	root_ca) roots+=("$short") ;;
	intermediate_ca) middles+=("$short") ;;
	db_server) servers+=("$short") ;;
	client) clients+=("$short") ;;
	esac
done <"$hosts"
clients_ca=${roots[0]} servers_root=${roots[1]} servers_ca=${middles[0]}

# 1. Everybody makes a key, at once.
connect "$clients_ca"; { cat "$here/authority.sh"; echo 'authority root-ca1 self'; } | tell "$clients_ca"
connect "$servers_root"; { cat "$here/authority.sh"; echo 'authority root-ca2 self'; } | tell "$servers_root"
connect "$servers_ca"; { cat "$here/authority.sh"; echo 'authority intermediate.example.net'; } | tell "$servers_ca"
for h in "${clients[@]}"; do
	connect "$h"; { cat "$here/client.sh"; echo request; } | tell "$h"
done
for h in "${servers[@]}"; do
	connect "$h"; { cat "$here/server.sh"; echo "request ${name[$h]} ${addr[$h]}"; } | tell "$h"
done

# 2. The authorities' certificates and lists.
hear "$clients_ca"; clients_bundle=$heard
hear "$servers_root"; servers_root_crt=${heard%%-----BEGIN X509*}
hear "$servers_ca"
case $heard in
*REQUEST*)
	csr[$servers_ca]=$heard
	ask "$servers_root" intermediate "$servers_ca"
	answer "$servers_root" "$servers_ca"
	{ printf 'install '; quote "${crt[$servers_ca]}"; echo; } | tell "$servers_ca"
	hear "$servers_ca"
	;;
esac
servers_crt=${heard%%-----BEGIN X509*}
clients_crt=${clients_bundle%%-----BEGIN X509*}
clients_crl=${clients_bundle#"$clients_crt"}

# 3. One batch of requests a CA. A host that has its certificate sends none.
todo_clients=() todo_servers=()
for h in "${clients[@]}"; do
	hear "$h"; csr[$h]=$heard
	[ -z "$heard" ] || todo_clients+=("$h")
done
[ ${#todo_clients[@]} = 0 ] || ask "$clients_ca" client "${todo_clients[@]}"
for h in "${servers[@]}"; do
	hear "$h"; csr[$h]=$heard
	[ -z "$heard" ] || todo_servers+=("$h")
done
[ ${#todo_servers[@]} = 0 ] || ask "$servers_ca" server "${todo_servers[@]}"

# 4. Clients and servers put everything in place.
resolve=
for h in "${servers[@]}"; do resolve+="${addr[$h]} ${name[$h]}"$'\n'; done
[ ${#todo_clients[@]} = 0 ] || answer "$clients_ca" "${todo_clients[@]}"
for h in "${clients[@]}"; do
	{ printf 'install '; quote "${crt[$h]-}"; printf ' '; quote "$servers_root_crt$servers_crt"; printf ' '; quote "$resolve"; echo; echo finish; } | tell "$h"
done
admitted=
for h in "${clients[@]}"; do admitted+="hostssl   all         dbuser1 ${addr[$h]}/32 cert"$'\n'; done
[ ${#todo_servers[@]} = 0 ] || answer "$servers_ca" "${todo_servers[@]}"
for h in "${servers[@]}"; do
	[ -z "${crt[$h]-}" ] || crt[$h]+=$'\n'$servers_crt
	{ printf 'install '; quote "${crt[$h]-}"; printf ' '; quote "$clients_crt"; printf ' '; quote "$clients_crl"; printf ' '; quote "$admitted"; echo; echo finish; } | tell "$h"
done

# 5. What each of them changed.
for h in "${roots[@]}" "${middles[@]}"; do echo finish | tell "$h"; done
for h in "${roots[@]}" "${middles[@]}" "${servers[@]}" "${clients[@]}"; do
	hear "$h"
	echo "${name[$h]} changed=${heard%$'\n'}"
done
wait "${pids[@]}"
pids=()
