# Runs SQL of ours on a primary. stdin: the SQL. $1 OS user, $2 binaries, $3 socket folder, $4 port.
owner=$1
ask "$2" "$3" "$4" >/dev/null
