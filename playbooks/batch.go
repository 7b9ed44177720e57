package playbooks

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// batchSizes reads serial: the sizes of a play's batches in order, separated by commas; the last one holds for all that follow. "" means one batch of all.
func batchSizes(serial string, hosts int) ([]int, error) {
	var sizes []int
	list := strings.Split(serial, ",")
	for _, one := range list {
		if len(list) > 1 && strings.TrimSpace(one) == "" {
			return nil, fmt.Errorf("%q has an empty place", serial)
		}
		size, err := batchSize(one, hosts)
		if err != nil {
			return nil, err
		}
		sizes = append(sizes, size)
	}
	return sizes, nil
}

// serialText gives serial as text where it is a list: [1, 25%] is "1,25%".
func serialText(value any) string {
	list, ok := value.([]any)
	if !ok {
		return fmt.Sprint(value)
	}
	words := make([]string, len(list))
	for i, item := range list {
		words[i] = fmt.Sprint(item)
	}
	return strings.Join(words, ",")
}

// batchSize reads one size: a number of hosts ("5"), a share of the play's hosts rounded down ("25%"), at least one; "" means all.
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
