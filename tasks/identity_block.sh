# with_block FILE BEGIN END BLOCK NEW: makes NEW a copy of FILE, owner and mode too, with the text BLOCK in the place of the lines from BEGIN to END; where there are
# none, at the end. Every other byte stays. An empty BLOCK removes them.
with_block() {
	cp -p -- "$1" "$5" || return 1
	# Bytes before the block, bytes up to and with its end, bytes in all (one more where the last line has no end).
	at=$(LC_ALL=C BEGIN=$2 END=$3 awk '
		{ n += length($0) + 1 }
		$0 == ENVIRON["BEGIN"] && !b { b = 1; first = n - length($0) - 1 }
		$0 == ENVIRON["END"] && b && !e { e = n }
		END { if (b && e) print first, e, n; else print "none" }' "$1") || return 1
	if [ "$at" = none ]; then
		[ -n "$4" ] || return 0
		if [ -s "$1" ] && [ -n "$(tail -c 1 "$1")" ]; then echo; fi >>"$5" && printf '%s\n' "$4" >>"$5"
		return
	fi
	before=${at%% *} all=${at##* }
	upto=${at#* } upto=${upto% *}
	{
		if [ "$before" != 0 ]; then head -c "$before" "$1" || return 1; fi
		if [ -n "$4" ]; then printf '%s\n' "$4" || return 1; fi
		if [ "$upto" != "$all" ]; then tail -c "+$((upto + 1))" "$1"; fi
	} >"$5"
}
