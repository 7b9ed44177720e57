package inventory

import (
	"fmt"
	"sort"
	"strings"
)

// suggest gives "; did you mean X?" for the known name nearest to name, "" when none is near. The first of equals wins.
func suggest(name string, known []string) string {
	limit := 3
	if len(name) <= 3 {
		limit = 2
	}
	best, bestDist := "", limit
	for _, k := range known {
		if diff := len(name) - len(k); diff >= bestDist || -diff >= bestDist {
			continue
		}
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < bestDist {
			best, bestDist = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// distance is the Levenshtein distance in bytes, where two neighbours swapped count as one change.
func distance(a, b string) int {
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// keysOf gives a map's keys in order.
func keysOf[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
