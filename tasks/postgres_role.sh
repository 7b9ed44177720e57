# Runs SQL of ours on a primary. stdin: the SQL. $1 binaries, $2 socket folder, $3 port.
as_exec=exec
ask "$1" "$2" "$3" >/dev/null
