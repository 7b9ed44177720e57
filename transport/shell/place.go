package shell

import (
	_ "embed"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

//go:embed programs/place.sh
var placeSource string

var placeProgram = stripped(placeSource)

// Place gives the one step that ends writes of one user whose complete content already stands in files of the same folders: temps, one a write.
func Place(writes []transport.Step, temps []string) transport.Step {
	step := transport.Step{Key: writes[0].Key, Shell: placeProgram, User: writes[0].User, Probe: writes[0].Probe}
	for i, w := range writes {
		step.Argv = append(step.Argv, temps[i], w.Write.Path)
		step.Limit = max(step.Limit, time.Duration(Seconds(w.Limit))*time.Second)
	}
	return step
}

// Placed gives the writes' results from that of their Place step: those in place, then the one that failed, if one did.
func Placed(writes []transport.Step, r transport.Result) []transport.Result {
	done := len(writes)
	if r.Err != nil {
		done, _ = strconv.Atoi(strings.TrimSpace(string(r.Stdout)))
	}
	var out []transport.Result
	for i, w := range writes {
		if i < done {
			out = append(out, transport.Result{Key: w.Key, Took: r.Took})
			continue
		}
		failed := transport.Result{Key: w.Key, Code: r.Code, Stderr: r.Stderr, Err: r.Err, Took: r.Took}
		var exit *transport.ExitError
		if errors.As(r.Err, &exit) {
			failed.Err = writeError(w.Write.Path, exit)
		}
		return append(out, failed)
	}
	return out
}
