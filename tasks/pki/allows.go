package pki

import (
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strings"
)

// Allows tells why clients or servers would refuse a certificate for a template below the authorities of a chain (the one that signs first, its root last): what they allow
// does not cover its use or names, or the authorities that shall stand below it. nil: they would accept it. The error is a *ChainError with what to ask for.
func Allows(chain []*x509.Certificate, t Template) error {
	for above, ca := range chain {
		below := above
		if t.Profile == ProfileCA {
			below += 1 + max(0, t.MaxPathLen)
		}
		if limited := ca.MaxPathLen > 0 || ca.MaxPathLenZero; limited && below > ca.MaxPathLen {
			return &ChainError{ChainPathLength, ca, fmt.Sprintf("it allows %d authorities below it, %d are needed: ask its owner for one with path length %[2]d", ca.MaxPathLen, below)}
		}
		if err := allowsUse(ca, t.Profile); err != nil {
			return err
		}
		if t.Profile == ProfileCA {
			continue
		}
		if err := allowsNames(ca, t.DNSNames, t.IPAddresses, t.Subject.CommonName); err != nil {
			return err
		}
	}
	return nil
}

// allowsUse is extendedKeyUsage of an authority: OpenSSL wants the use of the leaf in all that stand above it, the root too; anyExtendedKeyUsage is not enough.
func allowsUse(ca *x509.Certificate, use Profile) error {
	want, name := x509.ExtKeyUsageServerAuth, "serverAuth"
	switch use {
	case ProfileServer:
	case ProfileClient:
		want, name = x509.ExtKeyUsageClientAuth, "clientAuth"
	default:
		return nil
	}
	if len(ca.ExtKeyUsage)+len(ca.UnknownExtKeyUsage) == 0 || slices.Contains(ca.ExtKeyUsage, want) {
		return nil
	}
	return &ChainError{ChainWrongUse, ca, fmt.Sprintf("its extendedKeyUsage lacks %s, so every certificate of a %s below it is refused: ask for it without extendedKeyUsage, or with %[1]s", name, use)}
}

// allowsNames is RFC 5280 4.2.1.10 for host names and addresses. Where a leaf has no host name, OpenSSL takes a common name that looks like one for it.
func allowsNames(ca *x509.Certificate, dns []string, ips []net.IP, cn string) error {
	if len(dns) == 0 && strings.Contains(cn, ".") && CheckDNSName(cn) == nil {
		dns = []string{cn}
	}
	refuse := func(name, what string) error {
		return &ChainError{ChainNames, ca, fmt.Sprintf("its nameConstraints %s, so a certificate for %s below it is refused: ask for it without nameConstraints, or with some that have room for that name", what, name)}
	}
	for _, name := range dns {
		within := func(domain string) bool { return withinDomain(name, domain) }
		switch {
		case slices.ContainsFunc(ca.ExcludedDNSDomains, within):
			return refuse(name, "exclude "+strings.Join(ca.ExcludedDNSDomains, ", "))
		case len(ca.PermittedDNSDomains) > 0 && !slices.ContainsFunc(ca.PermittedDNSDomains, within):
			return refuse(name, "permit only "+strings.Join(ca.PermittedDNSDomains, ", "))
		}
	}
	for _, ip := range ips {
		within := func(n *net.IPNet) bool { return n.Contains(ip) }
		switch {
		case slices.ContainsFunc(ca.ExcludedIPRanges, within):
			return refuse(ip.String(), "exclude "+ranges(ca.ExcludedIPRanges))
		case len(ca.PermittedIPRanges) > 0 && !slices.ContainsFunc(ca.PermittedIPRanges, within):
			return refuse(ip.String(), "permit only "+ranges(ca.PermittedIPRanges))
		}
	}
	return nil
}

// withinDomain: example.net is itself and what is below it, .example.net only what is below it.
func withinDomain(name, domain string) bool {
	name, domain = strings.ToLower(name), strings.ToLower(domain)
	if domain == "" || name == domain {
		return true
	}
	return strings.HasSuffix(name, "."+strings.TrimPrefix(domain, "."))
}

func ranges(list []*net.IPNet) string {
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = n.String()
	}
	return strings.Join(out, ", ")
}
