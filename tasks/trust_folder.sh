# Makes pgfleet's folder of a cluster, as root. $1 /etc, $2 the folder below it.
IFS=/
# shellcheck disable=SC2086 # one word a folder
folders 755 755 "$1" $2
