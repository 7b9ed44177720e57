# Checks, as the server's OS user, that it can read a key and certificate that belong together and lead to their root. $1 key, $2 certificate, $3 the chain
fits sslserver "$1" "$2" "$3"
