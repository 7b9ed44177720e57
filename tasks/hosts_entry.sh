# Puts a block into a file of root's. $1 file, $2, $3 first and last line of the block. Standard input: the block, empty to remove it
f=$1
new=$f.pgfleet-new
[ ! -L "$f" ] || fail "$f is a symbolic link: nothing is written through it"
fresh "$new"
block=$(cat) || exit 1
with_block "$f" "$2" "$3" "$block" "$new" || exit 1
durable "$new"
mv -f -- "$new" "$f"
