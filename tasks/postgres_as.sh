# Comes before every program for a cluster: its environment, and acting as another user.
LC_ALL=C PATH=${PATH:-/usr/bin:/bin}:/usr/sbin:/sbin:/usr/bin:/bin
# The machine's own authorities take openssl longer to load than all the rest.
SSL_CERT_FILE=/dev/null SSL_CERT_DIR=/dev/null
export LC_ALL PATH SSL_CERT_FILE SSL_CERT_DIR
# What libpq would take from whoever logged in.
unset HOME PGHOST PGHOSTADDR PGPORT PGDATABASE PGUSER PGPASSWORD PGPASSFILE PGSERVICE PGSERVICEFILE PGSYSCONFDIR PGSSLMODE PGREQUIRESSL PGSSLNEGOTIATION PGSSLCERT PGSSLKEY \
  PGSSLCERTMODE PGSSLROOTCERT PGSSLCRL PGSSLCRLDIR PGSSLSNI PGSSLCOMPRESSION PGSSLMINPROTOCOLVERSION PGSSLMAXPROTOCOLVERSION PGREQUIREPEER PGREQUIREAUTH PGGSSENCMODE \
  PGGSSDELEGATION PGKRBSRVNAME PGGSSLIB PGCHANNELBINDING PGTARGETSESSIONATTRS PGLOADBALANCEHOSTS PGDATESTYLE PGTZ PGGEQO PGLOCALEDIR PGMINPROTOCOLVERSION PGMAXPROTOCOLVERSION
# Names of roles are bytes, in the encoding of whichever database they were made in, and a login is compared with them byte by byte: nothing is converted.
PGAPPNAME=pgfleet PGCONNECT_TIMEOUT=5 PGCLIENTENCODING=SQL_ASCII
# Not the search_path: what a login sets off (event triggers, PostgreSQL 17) would not find its tables. Programs set it themselves, first of all.
PGOPTIONS='-c role=none -c default_transaction_read_only=off -c standard_conforming_strings=on -c lc_messages=C -c statement_timeout=30s -c client_min_messages=error'
export PGAPPNAME PGCONNECT_TIMEOUT PGCLIENTENCODING PGOPTIONS
me=${PGFLEET_USER:-$(id -un)} # the connection's shell says who runs a step
as_for='' as_exec=''
ids() { # ids USER: sets as_uid and as_gid
  [ "$as_for" != "$1" ] || return 0
  as_line=$(getent passwd "$1") || return 1
  as_line=${as_line#*:*:}
  as_uid=${as_line%%:*} as_line=${as_line#*:} as_for=$1
  as_gid=${as_line%%:*}
}
as() { # as USER WORD… Its standard output must be a pipe or /dev/null: whoever keeps that of the connection could add to what root prints later
  as_user=$1
  shift
  if [ "$as_user" = "$me" ]; then $as_exec "$@"
  elif [ "${PGFLEET_SWITCHER:-}" = setpriv ] && ids "$as_user"; then $as_exec setpriv --reuid "$as_uid" --regid "$as_gid" --init-groups -- "$@"
  elif command -v runuser >/dev/null 2>&1; then $as_exec runuser -u "$as_user" -- "$@"
  else $as_exec su -s /bin/sh "$as_user" -c 'exec "$@"' sh "$@"
  fi
}
become() { as_exec=exec; as "$@"; } # as, in the place of this shell: the last that a subshell does
