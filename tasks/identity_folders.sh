# Makes pgfleet's folder of an identity, as its OS user. $1 home, $2 the folder below it.
IFS=/
# shellcheck disable=SC2086 # one word a folder
folders 700 700 "$1" $2
