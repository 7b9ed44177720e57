package shell

import (
	_ "embed"
	"errors"

	"github.com/pgfleet/pgfleet/transport"
)

//go:embed programs/place.sh
var placeSource string

var placeProgram = stripped(placeSource)

// Place gives the step that ends write when its complete content already stands in the file temp of the same folder.
func Place(write transport.Step, temp string) transport.Step {
	return transport.Step{Key: write.Key, Shell: placeProgram, Argv: []string{temp, write.Write.Path}, User: write.User, Limit: write.Limit, Probe: write.Probe}
}

// Placed gives write's result from that of its Place step.
func Placed(write transport.Step, r transport.Result) transport.Result {
	var exit *transport.ExitError
	if errors.As(r.Err, &exit) {
		r.Err = writeError(write.Write.Path, exit)
	}
	return r
}
