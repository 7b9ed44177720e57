# with_block FILE BEGIN END BLOCK NEW: writes to NEW what FILE is with the file BLOCK in the place of the lines from BEGIN to END; where there are
# none, at the end. Every other byte stays. An empty BLOCK removes them.
with_block() {
	# Bytes before the block, bytes up to and with its end.
	at=$(LC_ALL=C BEGIN=$2 END=$3 awk '
		{ n += length($0) + 1 }
		$0 == ENVIRON["BEGIN"] && !b { b = 1; first = n - length($0) - 1 }
		$0 == ENVIRON["END"] && b && !e { e = n }
		END { if (b && e) print first, e; else print "none" }' "$1") || return 1
	if [ "$at" != none ]; then
		{ head -c "${at% *}" "$1" && cat "$4" && tail -c "+$((${at#* } + 1))" "$1"; } >"$5"
		return
	fi
	{
		cat "$1" || return 1
		if [ -s "$1" ] && [ -s "$4" ] && [ "$(tail -c 1 "$1" | wc -l)" -ne 1 ]; then echo; fi
		cat "$4"
	} >"$5"
}
