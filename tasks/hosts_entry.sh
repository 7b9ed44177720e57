# Puts a block into a file of root's. $1 file, $2, $3 first and last line of the block; the rest: its lines. Without any, standard input has them, or none to
# remove it.
f=$1 first=$2 last=$3
shift 3
[ ! -L "$f" ] || fail "$f is a symbolic link: nothing is written through it"
fresh "$f.pgfleet-new"
IFS=$nl
# shellcheck disable=SC2046 # one word a line
[ $# -gt 0 ] || set -- $(cat)
unset IFS
with_block "$f" "$first" "$last" "$f.pgfleet-new" "$@" || exit 1
durable "$f.pgfleet-new"
said=$(exec mv -f -- "$f.pgfleet-new" "$f" 2>&1) && exit 0
rm -f -- "$f.pgfleet-new"
fail "$f cannot be replaced (${said##*: }): where it is mounted, as in a container, or immutable, have its owner or DNS make the names resolve: a name that does gets no line"
