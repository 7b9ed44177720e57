package lab

// process is a process as recorded: the start time (clock ticks after boot, field 22 of /proc/PID/stat, proc(5)) tells it from
// a later one with the same number.
type process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
}
