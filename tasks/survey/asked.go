package survey

import "fmt"

// asked adds the row of what an authority was asked for.
func (j *judge) asked(a Asked) {
	r := Row{Host: a.Host, Holder: a.Authority, Kind: KindCertificate, Path: a.Path, Subject: a.Subject, Names: a.Names}
	why := fmt.Sprintf("authority %s was asked for it on %s", a.Authority, day(a.Since))
	if a.List {
		r.Kind, why = KindList, fmt.Sprintf("authority %s is asked for a new list: %s", a.Authority, a.Why)
	}
	r.find(Waiting, why, "pgfleet authority requests --to DIR writes what it has to sign; pgfleet authority answer FILE takes in what comes back")
	j.add(r)
}
