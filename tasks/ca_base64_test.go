package tasks

import (
	"bytes"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What ca.sh makes of what it has signed is to the last bit what a library makes of it: the lowest and the highest of what each digit stands for, in every group of three bytes and in
// every rest of one or two. A mistake in one of them would show in one certificate of some hundred.
func TestAssembled(t *testing.T) {
	t.Parallel()
	_, rest, _ := strings.Cut(caProgram, "\nassembled() {")
	body, _, ok := strings.Cut(rest, "\n}\n")
	if !ok {
		t.Fatal("ca.sh has no function assembled")
	}
	var groups, rests []byte
	for digit := range 64 {
		for at := 0; at < 24; at += 6 {
			low := digit << at
			high := low | 1<<at - 1
			groups = append(groups, byte(low>>16), byte(low>>8), byte(low), byte(high>>16), byte(high>>8), byte(high))
		}
		low := digit << 10
		high := low | 1<<10 - 1
		rests = append(rests, byte(low>>8), byte(low), byte(high>>8), byte(high))
	}
	for last := range 256 {
		rests = append(rests, 0, byte(last))
	}
	oid := []byte{6, 3, 43, 101, 112}
	algorithm := append([]byte{48, byte(len(oid))}, oid...)
	var work strings.Builder
	var want []string
	add := func(tbs, signature []byte) {
		fmt.Fprintf(&work, "%d %s %s %x\n", len(want), octal(algorithm), octal(tbs), signature)
		der, err := asn1.Marshal(struct {
			TBS, Algorithm asn1.RawValue
			Signature      asn1.BitString
		}{asn1.RawValue{FullBytes: tbs}, asn1.RawValue{FullBytes: algorithm}, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, base64.StdEncoding.EncodeToString(der))
	}
	for shift := range 3 {
		add(append(make([]byte, shift), bytes.Repeat(groups, 50*shift+1)...), []byte{1})
		for i := 0; i < len(rests); i += 2 {
			add(make([]byte, 20+shift), rests[i:i+2])
		}
	}
	// Where a length is written with one byte more: of the whole, and of the signature.
	for _, n := range []int{127, 128, 255, 256, 65535, 65536} {
		add(make([]byte, n-len(algorithm)-4), []byte{1})
	}
	for _, n := range []int{126, 127, 254, 255, 256, 600} {
		add(make([]byte, 20), make([]byte, n))
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "pending"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pending/work"), []byte(work.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", "assembled() {"+body+"\n}\nassembled && printf '%s\n' \"$made\"")
	cmd.Dir = dir
	out, err := cmd.Output()
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if err != nil || len(lines) != len(want) {
		t.Fatalf("%d lines, want %d: %v", len(lines), len(want), err)
	}
	for i, line := range lines {
		words := strings.Fields(line)
		got := strings.Join(words[3:], "")
		if words[0] != fmt.Sprint(i) || got != want[i] {
			t.Fatalf("%s: %.200s\nwant %.200s", words[0], got, want[i])
		}
		for _, word := range words[3 : len(words)-1] {
			if len(word) != 64 {
				t.Fatalf("%s: a line of %d characters", words[0], len(word))
			}
		}
	}
}
