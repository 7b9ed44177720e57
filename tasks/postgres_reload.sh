# Has a server read its files again. Changes no file. $1 binaries, $2 data directory.
# The server takes the signal before it accepts whoever connects from now on: they are served with what it has read, TLS files and rules included.
wrong=$(become "$owner" "$1/pg_ctl" reload -s -D "$2" 2>&1) || fail "cannot have the server read its files again: $wrong"
