package fleet

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"path"
	"strconv"
	"strings"
)

// keyRequest makes a key and a request that is really signed with it. Files keep the public half; a server's private half stays in its model.
func (h *Host) keyRequest(s *step) reply {
	anchor, below, name, above, kind, old := s.arg(1), s.arg(2), s.arg(3), s.arg(4), s.arg(5), s.arg(6)
	if kind != "ecdsa-p256" || old != "" {
		return failed("the simulated host makes new ecdsa-p256 keys only")
	}
	who, v := s.acts(), anchor+"/"+below
	mode, err := strconv.ParseUint(above, 8, 32)
	if err != nil {
		return failed(err.Error())
	}
	h.disk.dir(path.Dir(v), who, uint32(mode))
	h.disk.dir(v, who, 0o700)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return failed(err.Error())
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "pgfleet"}}, key)
	if err != nil {
		return failed(err.Error())
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return failed(err.Error())
	}
	h.disk.put(v+"/"+name+".key", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), who, 0o600)
	if h.postgres != nil {
		h.postgres.keys[string(public)] = key
	}
	return reply{out: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request})}
}

// belong tells whether a key and a certificate are of one pair and the chain leads to its root.
func (d disk) belong(key, crt, issuers string) string {
	public, _ := pem.Decode(d.text(key))
	var certs []*x509.Certificate
	for rest := d.text(crt); ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return err.Error()
		}
		certs = append(certs, c)
	}
	if public == nil || len(certs) == 0 || !bytes.Equal(public.Bytes, certs[0].RawSubjectPublicKeyInfo) {
		return "key and certificate do not belong together: " + key + ", " + crt
	}
	pool, between := x509.NewCertPool(), x509.NewCertPool()
	pool.AppendCertsFromPEM(d.text(issuers))
	for _, c := range certs[1:] {
		between.AddCert(c)
	}
	if _, err := certs[0].Verify(x509.VerifyOptions{Roots: pool, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return err.Error()
	}
	return ""
}

func (h *Host) certificateInstall(s *step) reply {
	v := s.arg(1) + "/" + s.arg(2) + "/v/" + s.arg(3)
	for name, mode := range map[string]uint32{"server.key": 0o640, "server.crt": 0o644, "issuer.crt": 0o644} {
		f := h.disk[v+"/"+name]
		if f == nil {
			return failed(v + "/" + name + " is not a file")
		}
		f.mode = mode
	}
	h.disk[v+"/server.key"].group = s.arg(4)
	h.disk[v].mode = 0o755
	return reply{}
}

func (h *Host) certificateReadable(s *step) reply {
	if wrong := h.disk.belong(s.arg(1), s.arg(2), s.arg(3)); wrong != "" {
		return failed(wrong)
	}
	return reply{}
}

func (h *Host) certificatePrune(s *step) reply {
	for _, v := range h.disk.below(s.arg(1)) {
		if v != s.arg(2) && v != s.arg(3) {
			h.disk.remove(s.arg(1) + "/" + v)
		}
	}
	return reply{}
}

func (h *Host) identityFolders(s *step) reply {
	h.disk.dir(s.arg(1)+"/"+s.arg(2), s.acts(), 0o700)
	return reply{}
}

func (h *Host) identitySwitch(s *step) reply {
	home, gen, stays, copies := s.arg(1), s.arg(3), s.arg(4), s.arg(7)
	base, who := home+"/"+s.arg(2), s.acts()
	h.disk.dir(base, who, 0o700)
	if copies != "" {
		return failed("copies in ~/.postgresql are not in the model")
	}
	if v := base + "/v/" + gen; gen != "" {
		if wrong := h.disk.belong(v+"/client.key", v+"/client.crt", v+"/issuer.crt"); wrong != "" {
			return failed(wrong)
		}
	}
	if s.arg(10) == "roots" {
		h.disk.move(base+"/root.crt.new", base+"/root.crt")
		h.disk.move(base+"/root.crl.new", base+"/root.crl")
	}
	if services := home + "/.pg_service.conf"; s.arg(11) == "services" {
		h.disk.put(services, withBlock(h.disk.text(services), s.arg(5), s.arg(6), s.lines(12)), who, 0o600)
	}
	h.disk.put(base+"/pgfleet.env", []byte(s.arg(9)+"\n"), who, 0o600)
	if gen != "" {
		for _, v := range h.disk.below(base + "/v") {
			if v != gen && v != stays {
				h.disk.remove(base + "/v/" + v)
			}
		}
	}
	return reply{}
}

func (h *Host) trustFolder(s *step) reply {
	h.disk.dir(s.arg(1)+"/"+s.arg(2), root, 0o755)
	return reply{}
}

func (h *Host) trustReadable(s *step) reply {
	for _, p := range s.argv() {
		if b, _ := pem.Decode(h.disk.text(p)); p != "" && b == nil {
			return failed(p + " cannot be read")
		}
	}
	return reply{}
}

func (h *Host) trustPrune(s *step) reply {
	dir, keep := s.arg(1), s.argv()[1:]
	for _, name := range h.disk.below(dir) {
		if (strings.HasPrefix(name, "trust-") || strings.HasPrefix(name, "crl-")) && !has(keep, dir+"/"+name) {
			delete(h.disk, dir+"/"+name)
		}
	}
	return reply{}
}

func has(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
