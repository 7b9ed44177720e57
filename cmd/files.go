package cmd

import (
	"fmt"
	"io"
	"os"
)

// largestFile is how much is read of a file that is named on the command line, in bytes.
const largestFile = 16 << 20

// readFile reads a file of the user's that holds certificates, keys or the like: a larger one, or one that never ends, is none.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, largestFile+1))
	if err == nil && len(data) > largestFile {
		err = fmt.Errorf("%s: is larger than %d MiB", path, largestFile>>20)
	}
	return data, err
}
