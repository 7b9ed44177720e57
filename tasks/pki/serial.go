package pki

import (
	"crypto/rand"
	"fmt"
	"io"
	"math/big"
	"strings"
)

// NewSerial gives a random serial number: 128 bits, positive (RFC 5280 4.1.2.2). random nil means crypto/rand.
func NewSerial(random io.Reader) (*big.Int, error) {
	if random == nil {
		random = rand.Reader
	}
	bytes := make([]byte, 16)
	for {
		if _, err := io.ReadFull(random, bytes); err != nil {
			return nil, fmt.Errorf("make serial number: %w", err)
		}
		// The first bit is cleared so that DER needs no leading zero; the second is set so that every serial has the same length.
		bytes[0] = bytes[0]&0x7f | 0x40
		if serial := new(big.Int).SetBytes(bytes); serial.Sign() > 0 {
			return serial, nil
		}
	}
}

// FormatSerial writes a serial number as openssl's index.txt does: upper-case hex of even length.
func FormatSerial(serial *big.Int) string {
	text := fmt.Sprintf("%X", serial)
	if len(text)%2 == 1 {
		return "0" + text
	}
	return text
}

// ParseSerial reads a serial number in hex as openssl prints it (0x… and colons are accepted): positive, at most 20 bytes.
func ParseSerial(text string) (*big.Int, error) {
	digits := strings.ReplaceAll(strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(text), "0x"), "0X"), ":", "")
	if digits == "" || len(digits) > 40 || strings.Trim(digits, "0123456789abcdefABCDEF") != "" {
		return nil, fmt.Errorf("%q is not a serial number: write 1 to 40 hex digits", text)
	}
	serial, _ := new(big.Int).SetString(digits, 16)
	if serial.Sign() == 0 {
		return nil, fmt.Errorf("%q is not a serial number: it is zero", text)
	}
	return serial, nil
}
