# Reads what an authority in mode restricted is asked to sign, byte by byte, and judges it by the authority's policy. Whatever is not of the shape that
# pgfleet gives certificates and lists is refused: unknown extensions, other lengths than the shortest, anything after the end.
#
# Input, one "KEY VALUE" a line; bytes are written as \ooo: now SECONDS, ca DER (the authority's certificate), oid DER (of the signature that was asked
# for), serial or number (hexadecimal, as asked for), lines of the policy, then: certificate TBS | list TBS.
# Output for a certificate: its kind (server, client, authority), its subject as index.txt has it, its public key in bytes, its names one a line. For a list: "list".
# Refused: one line, "no REASON".

function no(reason) { print "no " reason; exit }

# take reads bytes, \ooo each, and leaves no other reading of them: what is judged is then what is signed. An array, since some awks
# look for a place in a long text from its beginning.
function take(rest,   n, i) {
	n = split(rest, b, "\\"); size = n - 1
	if (n < 2 || b[1] != "" || length(rest) != 4 * size) no(what " is not written in bytes")
	for (i = 2; i <= n; i++) if (!(b[i] in value)) no(what " is not written in bytes")
}

function byte(p) { return value[b[p + 2]] }

# short refuses parts that are so long that to read them would keep everybody else waiting.
function short(p, e) { if (e - p > 65536) no(what " has a part that is too long") }

# raw: the bytes from p up to e, as they came.
function raw(p, e,   out) {
	out = ""
	short(p, e)
	while (p < e) out = out "\\" b[2 + p++]
	return out
}

function hex(p, e,   out) {
	out = ""
	short(p, e)
	while (p < e) out = out sprintf("%02x", byte(p++))
	return out
}

# item reads one tag and length at p, whose whole must end by end: T tag, C begin of the content, E its end.
function item(p, end,   n, i) {
	if (p + 2 > end) no(what " is cut")
	T = byte(p); n = byte(p + 1); C = p + 2
	if (n >= 128) {
		n -= 128
		if (n < 1 || n > 3 || C + n > end) no(what " has a length that cannot be")
		L = 0
		for (i = 0; i < n; i++) L = L * 256 + byte(C++)
		if (L < 128 || n == 2 && L < 256 || n == 3 && L < 65536) no(what " has a length that is not written in the shortest way")
	} else L = n
	E = C + L
	if (E > end) no(what " is cut")
}

function need(tag, p, end, name) {
	item(p, end)
	if (T != tag) no(what " has something else where " name " should be")
}

function long(y, m, d) { # days since 1970
	y -= m <= 2
	return 365 * y + int(y / 4) - int(y / 100) + int(y / 400) + int((153 * (m + (m > 2 ? -3 : 9)) + 2) / 5) + d - 1 - 719468
}

# moment reads a time at p: seconds since 1970; E is its end.
function moment(p, end,   i, t, y, m, d) {
	item(p, end)
	t = ""
	if (!(T == 23 && L == 13 || T == 24 && L == 15)) no(what " has a time that cannot be read")
	for (i = C; i < E; i++) t = t sprintf("%c", byte(i))
	if (length(t) != L || t !~ /^[0-9]+Z$/) no(what " has a time that cannot be read")
	if (T == 23) t = (substr(t, 1, 2) + 0 < 50 ? "20" : "19") t
	y = substr(t, 1, 4) + 0; m = substr(t, 5, 2) + 0; d = substr(t, 7, 2) + 0
	if (m < 1 || m > 12 || d < 1 || d > long(y + (m == 12), m % 12 + 1, 1) - long(y, m, 1) || substr(t, 9, 2) + 0 > 23 || substr(t, 11, 2) + 0 > 59 || substr(t, 13, 2) + 0 > 59)
		no(what " has a time that cannot be read")
	return long(y, m, d) * 86400 + substr(t, 9, 2) * 3600 + substr(t, 11, 2) * 60 + substr(t, 13, 2)
}

# number of an INTEGER at p, positive, as hexadecimal digits of even length.
function digits(p, end, most,   h) {
	need(2, p, end, "a number")
	if (L < 1 || L > most + 1 || byte(C) > 127 || L > 1 && byte(C) == 0 && byte(C + 1) < 128) no(what " has a number that is not positive, or too long")
	h = toupper(hex(C, E))
	if (length(h) > 2) sub(/^00/, "", h)
	if (length(h) > 2 * most) no(what " has a number that is too long")
	return h
}

# follows tells whether a byte may come next in UTF-8 (RFC 3629, 4): more is how many are to follow it, low and high what the next one may be.
function follows(c) {
	if (more) { more--; c = c >= low && c <= high; low = 128; high = 191; return c }
	low = c == 224 ? 160 : c == 240 ? 144 : 128
	high = c == 237 ? 159 : c == 244 ? 143 : 191
	more = c < 128 ? 0 : c < 224 ? 1 : c < 240 ? 2 : 3
	return c < 128 || c > 193 && c < 245
}

# subject reads the name at p: oneline is as openssl writes it, attributes are counted in has and kept in of. E is its end.
function subject(p, end,   stop, q, key, i, c, v, shown) {
	need(48, p, end, "the subject")
	stop = E; p = C; oneline = ""; sorted = 1; last = 0
	split("", has); split("", of)
	while (p < stop) {
		need(49, p, stop, "a part of the subject"); q = E
		need(48, C, q, "a part of the subject")
		if (E != q) no(what " has a subject with several attributes in one part")
		need(6, C, q, "an attribute")
		key = names[hex(C, E)]
		if (key == "") no(what " has a subject with an attribute that is not one of CN, O, OU, L, ST, C")
		if (index("C  O  OU L  ST CN", key) < last) sorted = 0
		last = index("C  O  OU L  ST CN", key)
		item(E, q)
		if (T != 12 && T != 19 || E != q || L == 0) no(what " has a subject that is not plain text")
		v = shown = ""; more = 0
		for (i = C; i < E; i++) {
			c = byte(i)
			if (c < 32 || c == 127) no(what " has a control character in its subject")
			shown = shown (c < 127 ? sprintf("%c", c) : sprintf("\\x%02X", c))
			v = v sprintf("%c", c)
			if (T == 19 ? c > 126 || sprintf("%c", c) !~ /[A-Za-z0-9 '()+,.\/:=?*&-]/ : !follows(c)) no(what " has a subject that is not plain text")
		}
		if (more) no(what " has a subject that is not plain text")
		if (key in has) no(what " has a subject with two " key)
		has[key] = 1; of[key] = v; oneline = oneline "/" key "=" shown
		p = q
	}
	E = stop
}

# escaped: a value as a subject is written in the inventory.
function escaped(v,   i, c, out) {
	out = ""
	for (i = 1; i <= length(v); i++) {
		c = substr(v, i, 1)
		if (c == "," || c == "+" || c == "\\" || c == " " && (i == 1 || i == length(v))) out = out "\\"
		out = out c
	}
	return out
}

function written(   i, n, keys, out) {
	n = split("CN OU O L ST C", keys, " "); out = ""
	for (i = 1; i <= n; i++) if (keys[i] in has) out = out (out == "" ? "" : ",") keys[i] "=" escaped(of[keys[i]])
	return out
}

# publickey judges the key at p. E is its end.
function publickey(p, end,   q, a) {
	need(48, p, end, "the key"); q = E
	need(48, C, q, "the kind of key"); a = hex(C - 2, E)
	need(3, E, q, "the key")
	if (E != q || L < 33 || byte(C) != 0) no(what " has a key that cannot be read")
	if (a == "300d06092a864886f70d0101010500") {
		need(48, C + 1, q, "the key"); need(2, C, q, "the key")
		if (L < 256) no(what " has an RSA key of less than 2048 bits")
	} else if (!(a in points)) no(what " has a kind of key that is not allowed")
	else if (L != points[a] || a != "300506032b6570" && byte(C + 1) != 4) no(what " has a key that cannot be read")
	E = q
}

# extensions reads [tag] at p into ext, by object identifier: the value in hexadecimal digits. E is its end.
function extensions(tag, p, end,   stop, q, id) {
	need(tag, p, end, "the extensions"); stop = E
	need(48, C, stop, "the extensions")
	if (E != stop) no(what " has more than one list of extensions")
	split("", ext); p = C
	while (p < stop) {
		need(48, p, stop, "an extension"); q = E
		need(6, C, q, "an extension"); id = hex(C, E)
		p = E; critical = byte(p) == 1
		if (critical) {
			if (raw(p, p + 3) != "\\001\\001\\377") no(what " has an extension that cannot be read")
			p += 3
		}
		need(4, p, q, "an extension")
		if (E != q) no(what " has an extension that cannot be read")
		if (id in ext) no(what " has the same extension twice")
		if (!((tag ":" id) in known)) no(what " has an extension that is not allowed (" id ")")
		if (tag == 160 && critical) no(what " has a critical extension, for which servers would refuse everybody")
		ext[id] = hex(C, E)
		p = q
	}
	E = stop
}

function validity(p, end,   q) {
	need(48, p, end, "the validity"); q = E
	from = moment(C, q); to = moment(E, q)
	if (E != q) no(what " has a validity that cannot be read")
}

# whole reads the part of a certificate that is signed, from p up to end.
function whole(p, end) {
	if (raw(p, p + 5) != "\\240\\003\\002\\001\\002") no(what " is not of version 3")
	serial = digits(p + 5, end, 20)
	p = E; need(48, p, end, "the algorithm"); algorithm = raw(p, E)
	p = E; need(48, p, end, "the issuer"); issuer = raw(p, E)
	validity(E, end)
	p = E; subject(p, end); mine = raw(p, E)
	p = E; publickey(p, end); key = raw(p, E)
	extensions(163, E, end)
	if (E != end) no(what " has something after its end")
}

# alternative reads the names of a subjectAltName from hexadecimal digits.
function alternative(h,   n, tag, v, i) {
	h = sequence(h)
	while (h != "") {
		tag = substr(h, 1, 2); n = two(substr(h, 3, 2))
		if (n > 127 || n < 1 || length(h) < 4 + 2 * n) no(what " has names that cannot be read")
		v = ""
		if (tag == "82") {
			for (i = 0; i < n; i++) v = v sprintf("%c", two(substr(h, 5 + 2 * i, 2)))
			if (length(v) != n || v !~ /^[A-Za-z0-9*._:-]+$/) no(what " has a name that is not a host name")
		} else if (tag == "87" && n == 4) {
			v = two(substr(h, 5, 2)) "." two(substr(h, 7, 2)) "." two(substr(h, 9, 2)) "." two(substr(h, 11, 2))
		} else if (tag == "87" && n == 16) v = six(substr(h, 5, 32))
		else no(what " has a name that is neither a host name nor an address")
		list = list v "\n"
		h = substr(h, 5 + 2 * n)
	}
}

# six writes an IPv6 address as RFC 5952 has it: the longest run of zeros, the first of several, is "::".
function six(h,   i, n, at, most, part, out) {
	for (i = 0; i < 8; i++) {
		part[i] = substr(h, 4 * i + 1, 4); sub(/^0+/, "", part[i])
		n = part[i] == "" ? n + 1 : 0
		if (n > most) { most = n; at = i - n + 1 }
	}
	if (most < 2) at = -1
	for (i = 0; i < 8; i++) {
		if (i == at) { out = out "::"; i += most - 1; continue }
		out = out (out == "" || out ~ /:$/ ? "" : ":") (part[i] == "" ? "0" : part[i])
	}
	return out
}

function two(h) { return 16 * (index("0123456789abcdef", substr(h, 1, 1)) - 1) + index("0123456789abcdef", substr(h, 2, 1)) - 1 }

# sequence takes the head of a SEQUENCE off hexadecimal digits that must be it and nothing else.
function sequence(h,   n, k) {
	n = two(substr(h, 3, 2)); k = 5
	if (n == 129) { n = two(substr(h, 5, 2)); k = 7 }
	else if (n == 130) { n = 256 * two(substr(h, 5, 2)) + two(substr(h, 7, 2)); k = 9 }
	if (substr(h, 1, 2) != "30" || length(h) != k - 1 + 2 * n) no(what " has an extension that cannot be read")
	return substr(h, k)
}

function judge(   kind, most, limit) {
	if (algorithm != oid) no("the certificate names another signature algorithm than the one asked for")
	if (serial != asked["serial"]) no("the certificate has another serial number than the one asked for")
	if (issuer != authority["subject"]) no("the certificate names another issuer than this authority")
	if (key == authority["key"]) no("the certificate is for the key of this authority")
	if (ext["551d23"] != "30168014" authority["id"]) no("the certificate does not name the key of this authority (authorityKeyIdentifier)")
	if (("551d0e" in ext) && ext["551d0e"] !~ /^0414/) no("the certificate has a subjectKeyIdentifier that cannot be")
	if (ext["551d13"] ~ /^30060101ff0201[0-7][0-9a-f]$/) {
		kind = "authority"
		if (!authority["root"]) no("an authority below this one is asked for, and only a root may sign one")
		if (!(written() in below)) no("an authority " oneline " is asked for, and the policy names no such one")
		if (two(substr(ext["551d13"], 15)) > below[written()]) no("an authority with a longer path than the policy allows is asked for")
		if (ext["551d0f"] != "03020106" || "551d25" in ext || "551d11" in ext) no("the authority that is asked for has uses or names that an authority has not")
		# Else one policy line has several subjects, each with a first key.
		if (!sorted) no("the authority that is asked for has its subject in another order than pgfleet writes it (C, O, OU, L, ST, CN)")
		most = life[written()]
	} else {
		if (ext["551d13"] != "3000") no("an authority is asked for (basicConstraints), or what a certificate may be used for is left open")
		if (ext["551d25"] == "300a06082b06010505070301") kind = "server"
		else if (ext["551d25"] == "300a06082b06010505070302") kind = "client"
		else no("the certificate is neither for a server nor for a client (extendedKeyUsage)")
		if (!(kind in profile)) no("certificates for a " kind " are not allowed by the policy")
		if (ext["551d0f"] != "03020780" && (kind != "server" || ext["551d0f"] != "030205a0")) no("the certificate may be used for more than signatures (keyUsage)")
		for (limit in has) if (limit != "CN") no("the certificate has a subject with more than a common name")
		if (kind == "client" && (!("CN" in has) || "551d11" in ext)) no("a client has a common name and no other names")
		if ("CN" in has) list = of["CN"] "\n"
		if ("551d11" in ext) alternative(ext["551d11"])
		if (list == "") no("the certificate has no name")
		most = days
	}
	if (most == "") no("the policy says nothing of the longest life (life)")
	if (from > now + 900 || from < now - 86400) no("the certificate begins at another time than now")
	if (to > now + most * 86400 + 900) no("the certificate would live longer than the " most " days that the policy allows")
	if (to > authority["to"]) no("the certificate would live longer than this authority")
	if (to <= from) no("the certificate ends before it begins")
	print kind; print oneline; print key; printf "%s", list
}

function revocations(p, end,   q, stop) {
	while (p < end) {
		need(48, p, end, "an entry"); q = E
		digits(C, q, 20); moment(E, q)
		if (E < q) {
			if (hex(E, q) !~ /^300c300a0603551d1504030a010[0-6]$/) no("the list has an entry with more than a reason for the revocation")
		}
		p = q
	}
}

function lists(p, end,   q, least) {
	if (raw(p, p + 3) != "\\002\\001\\001") no("the list is not of version 2")
	p += 3
	need(48, p, end, "the algorithm")
	if (raw(p, E) != oid) no("the list names another signature algorithm than the one asked for")
	p = E; need(48, p, end, "the issuer")
	if (raw(p, E) != authority["subject"]) no("the list names another issuer than this authority")
	from = moment(E, end); to = moment(E, end)
	p = E; item(p, end)
	if (T == 48) { p = E; revocations(C, E) }
	extensions(160, p, end)
	if (E != end) no("the list has something after its end")
	if (ext["551d23"] != "30168014" authority["id"]) no("the list does not name the key of this authority (authorityKeyIdentifier)")
	q = ext["551d14"]
	if (q !~ /^02/ || length(q) != 4 + 2 * two(substr(q, 3, 2))) no("the list has no number")
	q = toupper(substr(q, 5))
	if (length(q) > 2) sub(/^00/, "", q)
	if (q != asked["number"]) no("the list has another number than the one asked for")
	if (from > now + 900 || from < now - 86400) no("the list begins at another time than now")
	least = now + listleast * 86400 - 900
	if (least > authority["to"]) least = authority["to"]
	if (to > authority["to"]) no("the list would end later than this authority")
	if (to < least) no("the list would end sooner than after the " listleast " days that the policy wants")
	print "list"
}

BEGIN {
	for (i = 0; i < 256; i++) value[sprintf("%d%d%d", i / 64, i / 8 % 8, i % 8)] = i
	names["550403"] = "CN"; names["550406"] = "C"; names["550407"] = "L"; names["550408"] = "ST"; names["55040a"] = "O"; names["55040b"] = "OU"
	split("551d0e 551d0f 551d11 551d13 551d23 551d25", ids, " ")
	for (i in ids) known["163:" ids[i]] = 1
	known["160:551d14"] = known["160:551d23"] = 1
	points["301306072a8648ce3d020106082a8648ce3d030107"] = 66 # P-256: bytes of a public key, with two for the form
	points["301006072a8648ce3d020106052b81040022"] = 98
	points["301006072a8648ce3d020106052b81040023"] = 134
	points["300506032b6570"] = 33 # Ed25519
	listleast = 0
}
{
	rest = index($0, " ") ? substr($0, index($0, " ") + 1) : ""
}
$1 == "now" { now = rest + 0 }
$1 == "oid" { oid = rest }
$1 == "serial" || $1 == "number" { asked[$1] = rest }
$1 == "profile" { profile[rest] = 1 }
$1 == "life" { days = rest + 0 }
$1 == "list_least" { listleast = rest + 0 }
$1 == "authority" { sub(/^[0-9]+ [0-9]+ /, "", rest); below[rest] = $2 + 0; life[rest] = $3 + 0 }
$1 == "ca" {
	what = "the certificate of this authority"; take(rest)
	item(0, size); item(C, E)
	whole(C, E)
	authority["subject"] = mine; authority["key"] = key; authority["to"] = to; authority["root"] = mine == issuer
	authority["id"] = substr(ext["551d0e"], 5)
	if (authority["id"] == "") no("the certificate of this authority has no subjectKeyIdentifier")
}
$1 == "certificate" {
	what = "the certificate"; take(rest); list = ""
	need(48, 0, size, "a certificate")
	if (E != size) no("the certificate has something after its end")
	short(0, size)
	whole(C, E)
	judge()
	exit
}
$1 == "list" {
	what = "the list"; take(rest)
	need(48, 0, size, "a list")
	if (E != size) no("the list has something after its end")
	lists(C, E)
	exit
}
