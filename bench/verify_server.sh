# What this server has in force, and who can read its key. Prints "as wanted", or what is not.
cd /
psql() { runuser -u postgres -- psql -XAtc "$1"; }
bad=
shown=$(psql "SELECT current_setting('ssl') || ' ' || current_setting('ssl_min_protocol_version')")
[ "$shown" = "on TLSv1.2" ] || bad="$bad; ssl and ssl_min_protocol_version are $shown"
for name in ssl_ca_file ssl_crl_file; do
	[ -n "$(psql "SHOW $name")" ] || bad="$bad; $name is empty"
done
key=$(psql "SHOW ssl_key_file")
case $(stat -Lc '%a %U:%G' "$key") in
"600 postgres:postgres" | "640 root:postgres") ;;
*) bad="$bad; $key is $(stat -Lc '%a %U:%G' "$key")" ;;
esac
roles=$(psql "SELECT rolcanlogin AND NOT rolsuper FROM pg_roles WHERE rolname = 'dbuser1'")
[ "$roles" = t ] || bad="$bad; role dbuser1: $roles"
wrong=$(psql "SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL")
[ "$wrong" = 0 ] || bad="$bad; $wrong wrong lines in pg_hba.conf"
[ -n "$bad" ] && echo "${bad#; }" || echo "as wanted"
