package events

// Cell is one connection test of a verification, in data.cells of a task's event.
type Cell struct {
	Client    string `json:"client"`
	Server    string `json:"server"`
	Cluster   string `json:"cluster,omitempty"`
	Check     string `json:"check"`
	Identity  string `json:"identity,omitempty"`
	Target    string `json:"target,omitempty"`
	Want      string `json:"want"`
	Got       string `json:"got"`
	Detail    string `json:"detail,omitempty"`
	Via       string `json:"via,omitempty"`
	OK        bool   `json:"ok"`
	NotProven bool   `json:"not_proven,omitempty"`
	Refusal   bool   `json:"refusal,omitempty"`
}
