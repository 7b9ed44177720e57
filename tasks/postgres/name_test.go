package postgres

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"
)

func TestIsName(t *testing.T) {
	long := "A very long name of an organisation that goes on and on, until it ends"
	for _, c := range []struct {
		shown string
		name  pkix.Name
		want  bool
	}{
		{"/CN=root-ca1", pkix.Name{CommonName: "root-ca1"}, true},
		{"/CN=root-ca", pkix.Name{CommonName: "root-ca1"}, false},
		{"/CN=root-ca1", pkix.Name{CommonName: "root-ca"}, false},
		{"", pkix.Name{CommonName: "root-ca"}, false},
		{`/C=DE/O=Acme\, Inc/CN=grün \"x\"`, pkix.Name{Country: []string{"DE"}, Organization: []string{"Acme, Inc"}, CommonName: `grün "x"`}, true},
		{("/O=" + long)[:63], pkix.Name{Organization: []string{long}, CommonName: "root"}, true},
		{("/O=" + long)[:63], pkix.Name{Organization: []string{"Another" + long}, CommonName: "root"}, false},
		// As databases in LATIN1 and EUC_JP show it, in what JSON makes of their bytes.
		{"/CN=W\uFFFDrzel und C\uFFFD", pkix.Name{CommonName: "Würzel und Cö"}, true},
		{"/CN=W\uFFFD\uFFFD\uFFFDrzel und C\uFFFD\uFFFD\uFFFD", pkix.Name{CommonName: "Würzel und Cö"}, true},
		{"/CN=W\uFFFDrzel und C\uFFFD", pkix.Name{CommonName: "Würzel und Co"}, false},
		{("/O=" + long)[:58] + "\uFFFD", pkix.Name{Organization: []string{long[:55] + "ü"}, CommonName: "root"}, true},
	} {
		raw, err := asn1.Marshal(c.name.ToRDNSequence())
		if err != nil {
			t.Fatal(err)
		}
		if got := IsName(c.shown, raw); got != c.want {
			t.Errorf("%q is %v: %t, want %t", c.shown, c.name, got, c.want)
		}
	}
}
