# Checks, as the server's OS user, that it can read the authorities and, if there are any, the lists. $1, $2: the files
openssl x509 -in "$1" -noout || fail "$1 cannot be read as a certificate by $(id -un)"
[ -z "$2" ] || openssl crl -in "$2" -noout || fail "$2 cannot be read as a list of revoked certificates by $(id -un)"
