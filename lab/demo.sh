#!/bin/sh
# The main job on five real hosts of this machine: two root CAs, an intermediate, a PostgreSQL server, a client.
# KEEP=1 leaves them running to look around in.
set -eu
cd "$(dirname "$0")/.."

name=demo
lab="bin/pgfleet-lab"
PATH="$PWD/bin:$PATH"
export PATH

bold='' plain=''
[ ! -t 1 ] || { bold=$(printf '\033[1m') plain=$(printf '\033[0m'); }
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
show() { # as one would type it
	printf '\n%s$' "$bold"
	for word; do
		case $word in
		*[!A-Za-z0-9_./:=@-]*) printf ' "%s"' "$word" ;;
		*) printf ' %s' "$word" ;;
		esac
	done
	printf '%s\n' "$plain"
	"$@"
}

"$lab" down --name "$name" >/dev/null 2>&1 || true
[ -n "${KEEP:-}" ] || trap '"$lab" down --name "$name" >/dev/null 2>&1' EXIT INT TERM

say "1. Five hosts, each with its own network, files, processes and sshd; PostgreSQL on db1"
show pgfleet-lab up --name "$name" --db 1 --client 1
PGFLEET_INVENTORY=/var/lib/pgfleet-lab/$name/inventory.yaml
export PGFLEET_INVENTORY

say "2. What would be done: nothing is changed yet"
show pgfleet run playbooks/mtls.yaml --check

say "3. Do it"
show pgfleet run playbooks/mtls.yaml -v

say "4. Again: nothing is left to do"
show pgfleet run playbooks/mtls.yaml -v

say "5. Every connection test, from the client's own psql"
show pgfleet verify

say "6. What the application now does: one service name, no password"
show pgfleet exec -l client -u postgres -- psql 'service=dbuser1@db1 dbname=postgres' -Atc "SELECT 'hello ' || current_user, version, cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()"

if [ -n "${KEEP:-}" ]; then
	say "The hosts stay up: export PGFLEET_INVENTORY=$PGFLEET_INVENTORY"
	echo "End them with: sudo bin/pgfleet-lab down --name $name. The tutorial (docs/tutorial.md) makes hosts of its own."
else
	say "Done; the hosts go away again. make demo KEEP=1 keeps them. Next: docs/tutorial.md"
fi
