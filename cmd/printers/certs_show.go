package printers

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/tasks/survey"
)

// CertsShow explains every row: what it is, how it is and why, when it is renewed and why.
func CertsShow(out io.Writer, opt CertsOptions, rows []survey.Row) {
	first := true
	var unseen []survey.Row
	for _, r := range rows {
		if r.Kind == survey.KindHost {
			unseen = append(unseen, r)
			continue
		}
		if !first {
			fmt.Fprintln(out)
		}
		first = false
		certShow(out, opt, r)
	}
	certUnseen(out, opt, unseen)
}

// certNouns say what a row is about, with %s for its holder.
var certNouns = map[survey.Kind]string{
	survey.KindCertificate: "certificate of %s", survey.KindAuthority: "certificate of an authority, with %s", survey.KindKey: "private key of %s",
	survey.KindList: "list of revoked certificates, with %s", survey.KindSettings: "configuration of %s", survey.KindRules: "rules of %s", survey.KindServices: "services of %s",
}

func certShow(out io.Writer, opt CertsOptions, r survey.Row) {
	fmt.Fprintln(out, opt.Style.paint(bold, Clean(r.Host+":"+r.Path)))
	use := "in force"
	if !r.InForce {
		use = "not in force"
	}
	fmt.Fprintf(out, certNouns[r.Kind]+" (%s), %s\n\n", Clean(r.Holder), r.Role, use)
	line := func(name, value string) { fmt.Fprintf(out, "%-12s %s\n", name+":", value) }
	switch {
	case r.Cert != nil:
		for _, l := range lines(pki.Describe(r.Cert)) {
			fmt.Fprintln(out, l)
		}
	case r.List != nil:
		line("issuer", Clean(r.Issuer))
		line("number", r.Number)
		line("from", r.NotBefore.Format(time.RFC3339))
		line("until", r.NotAfter.Format(time.RFC3339))
		line("revoked", certRevoked(r))
	}
	if r.DaysLeft != nil {
		line("days left", daysLeft(r))
	}
	line("state", opt.Style.paint(levelColor(r.State), r.State.Word()))
	if r.Renewal != nil {
		when := r.Renewal.At.Format("2006-01-02") + ", when "
		if r.Renewal.Due {
			when = "now: "
		}
		line("renewal", when+r.Renewal.Reason)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(out, "\n%s\n", opt.Style.paint(levelColor(f.State), f.State.Word()))
		opt.paragraph(out, "", oneLine(f.Reason))
		if f.Hint != "" {
			opt.paragraph(out, "hint: ", oneLine(f.Hint))
		}
	}
}

// certRevoked lists the serial numbers on a list.
func certRevoked(r survey.Row) string {
	if len(r.List.RevokedCertificateEntries) == 0 {
		return "none"
	}
	var out []string
	for _, e := range r.List.RevokedCertificateEntries {
		out = append(out, fmt.Sprintf("%s on %s (%s)", pki.FormatSerial(e.SerialNumber), e.RevocationTime.UTC().Format("2006-01-02"), pki.ReasonName(e.ReasonCode)))
	}
	return strings.Join(out, "\n             ")
}
