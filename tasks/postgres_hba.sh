# Replaces pg_hba.conf or pg_ident.conf. stdin: the new file. When the server runs, its own view of the file decides whether it stays.
# $1 the file, $2 sha256 of the bytes that were looked at, $3 OS user, $4 hba or ident, $5 running or stopped, $6 binaries, $7 socket folder, $8 port, $9 major version.
path=$1 seen=$2 owner=$3 kind=$4 state=$5 bin=$6 socket=$7 port=$8 major=$9
who=$(actor "$path") || exit 1
meta=$(as "$who" stat -L -c '%a %U %G' -- "$path") || fail "cannot look at $path as $who"
before=$(as "$who" cat -- "$path" && echo .) || fail "cannot read $path as $who"
before=${before%.}
sum=$(printf '%s' "$before" | sha256sum)
[ "${sum%% *}" = "$seen" ] || fail "$path was changed by somebody else since it was looked at; nothing was written, run again"
set -- $meta
replace "$path" "$1" "$2" "$3" || fail "cannot write $path as $who"
[ "$state" = running ] || exit 0
case $kind$major in
hba*) query="select coalesce(to_jsonb(r)->>'file_name', '') || ':' || line_number || ': ' || coalesce(error, 'not accepted') from pg_hba_file_rules r
  where (type is null or error is not null) and coalesce(error, '') not like '%because SSL is disabled%'" ;;
ident12 | ident13 | ident14) exit 0 ;;
ident*) query="select coalesce(to_jsonb(r)->>'file_name', '') || ':' || line_number || ': ' || error from pg_ident_file_mappings r where error is not null" ;;
esac
if ! wrong=$(printf '%s;\n' "$query" | ask "$bin" "$socket" "$port" 2>&1) || [ -n "$wrong" ]; then
  printf '%s' "$before" | replace "$path" "$1" "$2" "$3" || fail "cannot put $path back as it was: $wrong"
  fail "the server does not accept the new $path, it was put back: $wrong"
fi
