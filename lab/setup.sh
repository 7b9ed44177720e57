#!/bin/sh
# Installs what the lab and the tests need on Debian and its kin, with sudo where you are not root. Run again, it does nothing.
# Arguments: more packages.
# Services of the installed packages are not started on this machine: the lab starts its own, inside its hosts.
set -eu

# PostgreSQL 15 is Debian 12's; elsewhere it is whatever the release has.
postgresql="postgresql-15 postgresql-client-15"
if command -v apt-cache >/dev/null && [ -z "$(apt-cache policy postgresql-15 2>/dev/null)" ]; then postgresql="postgresql postgresql-client"; fi
packages="openssl openssh-server openssh-client sudo $postgresql ssl-cert iproute2 procps util-linux busybox-static age softhsm2 opensc libengine-pkcs11-openssl gcc libc6-dev $*"

missing=
for p in $packages; do
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing="$missing $p"
done
if [ -z "$missing" ]; then
	echo "setup: every package is there"
	exit 0
fi
as_root=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || { echo "setup: run this as root, or install sudo first" >&2; exit 1; }
	as_root=sudo
fi
command -v apt-get >/dev/null || { echo "setup: no apt-get here; install by hand:$missing" >&2; exit 1; }

policy=/usr/sbin/policy-rc.d
made_policy=
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
	$as_root chmod 755 "$policy"
	made_policy=yes
fi
trap '[ -z "$made_policy" ] || $as_root rm -f "$policy"' EXIT

echo "setup: installing$missing (their services are not started)"
$as_root apt-get update -qq
# shellcheck disable=SC2086 # the list is words on purpose
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
echo "setup: done"
