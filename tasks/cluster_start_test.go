package tasks

import (
	"encoding/pem"
	"strings"
	"testing"
)

// TestWholePEM: what OpenSSL passes over is no broken block, and a CA file may hold every kind of certificate that it takes.
func TestWholePEM(t *testing.T) {
	block := func(kind string) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte{0x30, 0x03, 0x02, 0x01, 0x05}}))
	}
	good := block("CERTIFICATE")
	for text, want := range map[string]bool{
		good + good: true,
		"# was -----BEGIN CERTIFICATE----- of ca1\n" + good:    true,
		block("TRUSTED CERTIFICATE"):                           true,
		block("X509 CERTIFICATE") + good:                       true,
		strings.ReplaceAll(good, "\n", "\r\n"):                 true,
		good + strings.Replace(good, "MAM", "M*M", 1):          false,
		good + strings.Replace(good, "-----END", "----END", 1): false,
		block("X509 CRL"):                                      false,
		"":                                                     false,
	} {
		if err := wholePEM([]byte(text), certificateBlocks...); (err == nil) != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}
