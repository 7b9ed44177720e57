package pki

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseDuration reads what time.ParseDuration reads, and whole days, weeks and years: 365d, 2w, 10y (a year is 365 days).
func ParseDuration(text string) (time.Duration, error) {
	units := map[byte]time.Duration{'d': 24 * time.Hour, 'w': 7 * 24 * time.Hour, 'y': 365 * 24 * time.Hour}
	text = strings.TrimSpace(text)
	if text == "" {
		return 0, fmt.Errorf("no duration given; write for example 365d, 12h, 10y")
	}
	if unit, ok := units[text[len(text)-1]]; ok {
		n, err := strconv.ParseInt(text[:len(text)-1], 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/int64(unit) {
			return 0, fmt.Errorf("%q is not a duration; write for example 365d, 12h, 10y", text)
		}
		return time.Duration(n) * unit, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a duration; write for example 365d, 12h, 10y", text)
	}
	return d, nil
}
