package playbooks

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// batchSize reads serial: a number of hosts ("5"), a share of the play's hosts rounded down ("25%"), at least one; "" means all.
func batchSize(serial string, hosts int) (int, error) {
	text := strings.TrimSpace(serial)
	if text == "" {
		return max(hosts, 1), nil
	}
	digits, share := strings.CutSuffix(text, "%")
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 || share && n > 100 {
		return 0, fmt.Errorf("%q is neither a number of hosts from 1 (5) nor a share from 1%% to 100%% (25%%)", serial)
	}
	if share {
		n = int(int64(hosts) * int64(n) / 100)
	}
	return max(n, 1), nil
}

// parseMaxFailures reads the budget of a run: a whole number from 0; "" means 0.
func parseMaxFailures(text string) (int, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > math.MaxInt32 {
		return 0, fmt.Errorf("%q is not a whole number from 0", text)
	}
	return n, nil
}
