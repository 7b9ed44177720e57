package backup

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// CheckRecipient gives an error when a line is no recipient that age takes in a file of recipients: age1… (X25519, or that of a plugin), or the public
// half of an RSA key of 2048 bits or more or of an Ed25519 key, as ssh-keygen writes it. Whether the host's age knows a plugin, nobody knows here. age
// itself leaves out ssh keys that it cannot use and goes on with the others, so that somebody who was to open a backup could not: they are refused.
func CheckRecipient(line string) error {
	if strings.HasPrefix(line, "ssh-") {
		return checkSSH(line)
	}
	if !strings.HasPrefix(line, "age1") {
		return errors.New("is neither age1… nor ssh-ed25519 … nor ssh-rsa …")
	}
	if len(line) > longestRecipient {
		return fmt.Errorf("is %d characters long; age takes no line of more than %d", len(line), longestRecipient)
	}
	kind, size, err := bech32(line)
	if err == nil && kind == "age" && size != 32 {
		err = fmt.Errorf("has a key of %d bytes where 32 are wanted", size)
	}
	return err
}

// longestRecipient is age's limit for a line, in characters (cmd/age/parse.go).
const longestRecipient = 8 << 10

// bech32 checks a word in lower case as BIP 173 has it, but of any length, and gives the part before its last 1 and how many bytes it holds.
func bech32(word string) (kind string, size int, err error) {
	const alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	at := strings.LastIndexByte(word, '1')
	kind, data := word[:at], word[at+1:]
	sum := uint32(1)
	mix := func(five byte) {
		top := sum >> 25
		sum = sum&0x1ffffff<<5 ^ uint32(five)
		for i, g := range [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 == 1 {
				sum ^= g
			}
		}
	}
	for i := range len(kind) {
		mix(kind[i] >> 5)
	}
	mix(0)
	for i := range len(kind) {
		mix(kind[i] & 31)
	}
	strange := func(r rune) error {
		return fmt.Errorf("has %q in it, which no recipient of age has: lower-case letters and digits, each recipient by itself, without b, i and o after the last 1", r)
	}
	if i := strings.IndexFunc(kind, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("+-._", r)
	}); i >= 0 {
		return "", 0, strange([]rune(kind[i:])[0])
	}
	last := 0 // the last five bits of the content
	for i, r := range data {
		n := strings.IndexRune(alphabet, r)
		if n < 0 {
			return "", 0, strange(r)
		}
		mix(byte(n))
		if i < len(data)-6 {
			last = n
		}
	}
	switch spare := (len(data) - 6) * 5 % 8; {
	case len(data) < 6:
		return "", 0, errors.New("is cut off")
	case sum != 1:
		return "", 0, errors.New("is mistyped or cut off: its last six characters, the checksum, do not fit the rest")
	case spare >= 5 || last&(1<<spare-1) != 0:
		return "", 0, errors.New("holds no whole number of bytes")
	}
	return kind, (len(data) - 6) * 5 / 8, nil
}

// checkSSH checks a public key as it stands in a .pub file (sshd(8), AUTHORIZED_KEYS FILE FORMAT; RFC 4253 6.6, RFC 8709 4).
func checkSSH(line string) error {
	words := strings.Fields(line)
	if kind := words[0]; kind != "ssh-ed25519" && kind != "ssh-rsa" {
		return fmt.Errorf("is a key of type %s; age encrypts to ssh-ed25519 and ssh-rsa", kind)
	}
	if len(words) < 2 {
		return fmt.Errorf("has nothing after %s: the whole line of the .pub file is wanted, in quotes", words[0])
	}
	blob, err := base64.StdEncoding.DecodeString(words[1])
	if err != nil {
		return fmt.Errorf("is mistyped or cut off: %w", err)
	}
	var fields [][]byte
	for len(blob) >= 4 && uint64(len(blob)-4) >= uint64(binary.BigEndian.Uint32(blob)) {
		end := 4 + binary.BigEndian.Uint32(blob)
		fields, blob = append(fields, blob[4:end]), blob[end:]
	}
	switch {
	case len(blob) > 0 || len(fields) < 2:
		return errors.New("is mistyped or cut off: its base64 is no public key")
	case string(fields[0]) != words[0]:
		return fmt.Errorf("says %s, but holds a key of type %q", words[0], fields[0])
	case words[0] == "ssh-ed25519" && (len(fields) != 2 || len(fields[1]) != ed25519.PublicKeySize), words[0] == "ssh-rsa" && len(fields) != 3:
		return fmt.Errorf("is mistyped or cut off: its base64 is no key of type %s", words[0])
	}
	if bits := new(big.Int).SetBytes(fields[len(fields)-1]).BitLen(); words[0] == "ssh-rsa" && bits < 2048 {
		return fmt.Errorf("has an RSA key of %d bits; age takes 2048 or more", bits)
	}
	return nil
}

// CheckCertificate gives an error when openssl cannot encrypt to a certificate: the key of an Ed25519 one only signs.
func CheckCertificate(cert *x509.Certificate) error {
	if cert.PublicKeyAlgorithm == x509.Ed25519 {
		return errors.New("has an Ed25519 key, which can only sign; openssl encrypts to RSA and EC keys")
	}
	return nil
}
