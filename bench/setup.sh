#!/bin/sh
# Installs the peers that pgfleet is compared with, from Debian. Run again, it does nothing.
set -eu

packages="ansible ansible-mitogen"

missing=
for p in $packages; do
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing="$missing $p"
done
if [ -z "$missing" ]; then
	echo "bench setup: every package is there"
	exit 0
fi
as_root=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || { echo "bench setup: run this as root, or install sudo first" >&2; exit 1; }
	as_root=sudo
fi
command -v apt-get >/dev/null || { echo "bench setup: no apt-get here; install by hand:$missing" >&2; exit 1; }
echo "bench setup: installing$missing"
$as_root apt-get update -qq
# shellcheck disable=SC2086 # the list is words on purpose
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
echo "bench setup: done"
