package inventory

import (
	"fmt"
	"strconv"
	"strings"
)

// Expand gives the texts that a text with ranges stands for, in order: db[01:03] (zeros are kept), db[1:9:2] (every second),
// [a:c] (letters), [eu,us] (a list). Several ranges multiply, the last one runs fastest. Text without a range gives itself. An
// IPv6 address in brackets is no range. More than 20000 texts are refused.
func Expand(text string) ([]string, error) {
	out := []string{""}
	rest := text
	for {
		open := strings.IndexByte(rest, '[')
		if open < 0 {
			if strings.IndexByte(rest, ']') >= 0 {
				return nil, fmt.Errorf("%q: a ] without its [", text)
			}
			return appendAll(out, rest), nil
		}
		end := strings.IndexByte(rest[open:], ']')
		if end < 0 || strings.IndexByte(rest[:open], ']') >= 0 || strings.LastIndexByte(rest[:open+end], '[') != open {
			return nil, fmt.Errorf("%q: every [ wants its ], and ranges do not nest", text)
		}
		inner := rest[open+1 : open+end]
		out = appendAll(out, rest[:open])
		if isIPv6(inner) {
			out = appendAll(out, "["+inner+"]")
		} else {
			words, err := rangeWords(inner)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", text, err)
			}
			if len(words)*len(out) > maxHosts {
				return nil, fmt.Errorf("%q: the ranges stand for more than %d names", text, maxHosts)
			}
			out = multiply(out, words)
		}
		rest = rest[open+end+1:]
	}
}

// hasRange tells whether a text holds brackets that are a range.
func hasRange(text string) bool {
	open := strings.IndexByte(text, '[')
	if open < 0 {
		return false
	}
	end := strings.IndexByte(text[open:], ']')
	return end < 0 || !isIPv6(text[open+1:open+end])
}

func isIPv6(text string) bool { return strings.Count(text, ":") > 1 && parseIP(text).Is6() }

func appendAll(list []string, tail string) []string {
	for i := range list {
		list[i] += tail
	}
	return list
}

func multiply(heads, tails []string) []string {
	out := make([]string, 0, len(heads)*len(tails))
	for _, h := range heads {
		for _, t := range tails {
			out = append(out, h+t)
		}
	}
	return out
}

// rangeWords reads what stands between the brackets.
func rangeWords(inner string) ([]string, error) {
	if strings.Contains(inner, ",") {
		words := strings.Split(inner, ",")
		for i, w := range words {
			words[i] = strings.TrimSpace(w)
			if words[i] == "" {
				return nil, fmt.Errorf("[%s] has an empty item", inner)
			}
		}
		return words, nil
	}
	parts := strings.Split(inner, ":")
	if len(parts) != 2 && len(parts) != 3 {
		return nil, fmt.Errorf("[%s] is no range; write [01:20], [a:f] or [a,b]", inner)
	}
	step := 1
	if len(parts) == 3 {
		n, err := strconv.Atoi(parts[2])
		if err != nil || n < 1 {
			return nil, fmt.Errorf("[%s]: the step must be a number above 0", inner)
		}
		step = n
	}
	if isLetter(parts[0]) && isLetter(parts[1]) {
		return letters(inner, parts[0][0], parts[1][0], step)
	}
	return numbers(inner, parts[0], parts[1], step)
}

func isLetter(s string) bool {
	return len(s) == 1 && (s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z')
}

func letters(inner string, from, to byte, step int) ([]string, error) {
	if from > to || (from < 'a') != (to < 'a') {
		return nil, fmt.Errorf("[%s] runs backwards or mixes small and capital letters", inner)
	}
	var out []string
	for c := int(from); c <= int(to); c += step {
		out = append(out, string(rune(c)))
		if step > int(to) {
			break
		}
	}
	return out, nil
}

func numbers(inner, from, to string, step int) ([]string, error) {
	a, errA := number(from)
	b, errB := number(to)
	switch {
	case errA != nil || errB != nil:
		return nil, fmt.Errorf("[%s] is no range; write [01:20], [a:f] or [a,b]", inner)
	case a > b:
		return nil, fmt.Errorf("[%s] runs backwards", inner)
	case len(from) > 1 && from[0] == '0' && len(from) != len(to):
		return nil, fmt.Errorf("[%s]: with leading zeros both ends need the same number of digits", inner)
	case (b-a)/step >= maxHosts:
		return nil, fmt.Errorf("[%s] stands for more than %d names", inner, maxHosts)
	}
	var out []string
	for n := a; n <= b; n += step {
		out = append(out, fmt.Sprintf("%0*d", len(from), n))
		if step > b-n {
			break
		}
	}
	return out, nil
}

// number reads up to nine digits and nothing else.
func number(s string) (int, error) {
	if len(s) == 0 || len(s) > 9 || strings.Trim(s, "0123456789") != "" {
		return 0, fmt.Errorf("not a number")
	}
	return strconv.Atoi(s)
}

// splitOutside cuts text at any of the separators outside brackets; empty parts are dropped.
func splitOutside(text, separators string) []string {
	var out []string
	depth, start := 0, 0
	cut := func(end int) {
		if part := strings.TrimSpace(text[start:end]); part != "" {
			out = append(out, part)
		}
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '[':
			depth++
		case c == ']' && depth > 0:
			depth--
		case depth == 0 && strings.IndexByte(separators, c) >= 0:
			cut(i)
			start = i + 1
		}
	}
	cut(len(text))
	return out
}
