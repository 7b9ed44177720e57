# Checks, as the server's OS user, that it can read a key and certificate that belong together. $1 key, $2 certificate
belong "$1" "$2"
