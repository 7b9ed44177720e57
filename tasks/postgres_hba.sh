# Replaces pg_hba.conf or pg_ident.conf, keeping it as it was before. stdin: the new file. When the server runs, its own view of the file decides whether it stays.
# $1 the file, $2 sha256 of the bytes that were looked at, and of the new ones (words), $3 the cluster's folder, $4 run, $5 hba or ident, $6 running or stopped, $7 binaries, $8 socket folder, $9 port,
# then major version, a file of root's ("": none), and what is noted there once the new file stays.
path=$1 seen=$2 dir=$3 run=$4 kind=$5 state=$6 bin=$7 socket=$8 port=$9
shift 9
major=$1 note=$2 noted=$3
keep_before "$run" "$path"
if [ -z "$copied" ]; then
  actor "$path" || exit 1
  copied=$folder/now
  copy_out "$path" "$copied" || fail "cannot read $path as $who"
fi
sum=$(sha256sum <"$copied")
case " $seen " in *" ${sum%% *} "*) ;; *) fail "$path was changed by somebody else since it was looked at; nothing was written, run again" ;; esac
rewrite() { # rewrite <bytes: in one rename, with mode and owner as they are
  as "$who" /bin/sh -c "$placing"'
    real "$1"
    like
    cat >"$new" || { rm -f "$new"; wrong "cannot write $new"; }
    put "$path"
  ' sh "$path" >/dev/null
}
wrong=$(rewrite 2>&1) || unwritable "$path" "$wrong"
case $state:$kind$major in
running:hba*) query="select 'refused: ' || coalesce(to_jsonb(r)->>'file_name', '') || ':' || line_number || ': ' || coalesce(error, 'not accepted') from pg_hba_file_rules r
  where (type is null or error is not null) and coalesce(error, '') not like '%because SSL is disabled%'" ;;
running:ident1[234] | stopped:*) query='' ;;
*) query="select 'refused: ' || coalesce(to_jsonb(r)->>'file_name', '') || ':' || line_number || ': ' || error from pg_ident_file_mappings r where error is not null" ;;
esac
accepted=yes
if [ -n "$query" ]; then
  wrong=$(as_exec=exec; ask "$bin" "$socket" "$port" "$query" 2>&1 </dev/null) || accepted=no
  # What else there is are warnings: of another version of the collation for one, or with our query in them.
  case $nl$wrong in *"${nl}refused: "*) accepted=no ;; esac
fi
if [ "$accepted" = no ]; then
  rewrite <"$copied" || fail "cannot put $path back as it was: $wrong"
  fail "the server does not accept the new $path, it was put back: $wrong"
fi
[ "$copied" != "$folder/now" ] || rm -f "$copied"
[ -z "$note" ] || printf '%s\n' "$noted" >"$note" || fail "cannot write $note"
