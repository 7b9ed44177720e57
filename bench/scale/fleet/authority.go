package fleet

import (
	"bytes"
	"errors"
	"os/exec"
	"time"
)

// authority runs the real program, on this machine.
func (h *Host) authority(s *step) reply {
	cmd := exec.Command("/bin/sh", append([]string{"-c", h.fleet.programs.ca, "sh"}, s.argv()...)...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Dir = bytes.NewReader(s.stdin), &out, &errs, "/"
	r, began := reply{}, time.Now()
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		r.code = exit.ExitCode()
	} else if err != nil {
		return failed(err.Error())
	}
	r.out, r.err = out.Bytes(), errs.Bytes()
	if n := bytes.Count(s.stdin, []byte("request certificate\n")); n > 0 {
		took := time.Since(began)
		h.fleet.counters.add(func(c *Counts) { c.Signed += n; c.SigningBatches++; c.Signing += took })
	}
	return r
}
