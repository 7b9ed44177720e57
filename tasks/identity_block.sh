# with_block FILE BEGIN END NEW LINE…: makes NEW a copy of FILE, owner and mode too, with these lines in the place of those from BEGIN to END; where there are none,
# at the end. Every other byte stays. Without a LINE they are removed.
with_block() {
	file=$1 new=$4
	cp -p -- "$file" "$new" || return 1
	# Bytes before the block, bytes up to and with its end, bytes in all (one more where the last line has no end).
	at=$(LC_ALL=C BEGIN=$2 END=$3 awk '
		{ n += length($0) + 1 }
		$0 == ENVIRON["BEGIN"] && !b { b = 1; first = n - length($0) - 1 }
		$0 == ENVIRON["END"] && b && !e { e = n }
		END { if (b && e) print first, e, n; else print "none" }' "$file") || return 1
	shift 4
	if [ "$at" = none ]; then
		[ $# -gt 0 ] || return 0
		if [ -s "$file" ] && [ -n "$(tail -c 1 "$file")" ]; then echo; fi >>"$new" && printf '%s\n' "$@" >>"$new"
		return
	fi
	before=${at%% *} all=${at##* }
	upto=${at#* } upto=${upto% *}
	{
		if [ "$before" != 0 ]; then head -c "$before" "$file" || return 1; fi
		if [ $# -gt 0 ]; then printf '%s\n' "$@" || return 1; fi
		if [ "$upto" != "$all" ]; then tail -c "+$((upto + 1))" "$file"; fi
	} >"$new"
}
