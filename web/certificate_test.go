package web

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pair gives a certificate of a number, and its key.
func pair(t *testing.T, number int64) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(number), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	kd, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kd})
}

// The fault: while a certificate was renewed, the files were not there or no pair, and no client came in.
func TestACertificateThatIsRenewed(t *testing.T) {
	dir := t.TempDir()
	files := TLS{Cert: filepath.Join(dir, "c.pem"), Key: filepath.Join(dir, "k.pem")}
	at := time.Now().Add(-time.Hour)
	put := func(name string, b []byte) {
		t.Helper()
		at = at.Add(time.Second)
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	oldCert, oldKey := pair(t, 1)
	newCert, newKey := pair(t, 2)
	var log bytes.Buffer
	c := &certificate{files: files, log: slog.New(slog.NewTextHandler(&log, nil))}
	if _, err := c.get(); err == nil {
		t.Error("there was none, and one was given")
	}
	if log.Len() > 0 {
		t.Errorf("who asked was told, and the log too: %s", log.String())
	}
	for _, step := range []struct {
		name   string
		do     func()
		serial int64
		lines  int // in the log, with those before
	}{
		{"the first", func() { put(files.Cert, oldCert); put(files.Key, oldKey) }, 1, 0},
		{"another certificate, and not its key yet", func() { put(files.Cert, newCert) }, 1, 1},
		{"half a certificate", func() { put(files.Cert, newCert[:100]) }, 1, 1},
		{"no certificate", func() { _ = os.Remove(files.Cert) }, 1, 1},
		{"the new pair", func() { put(files.Cert, newCert); put(files.Key, newKey) }, 2, 2},
		{"no key", func() { _ = os.Remove(files.Key) }, 2, 3},
		{"the key again", func() { put(files.Key, newKey) }, 2, 4},
	} {
		step.do()
		for range 3 {
			got, err := c.get()
			if err != nil {
				t.Errorf("%s: %v", step.name, err)
				continue
			}
			leaf, err := x509.ParseCertificate(got.Certificate[0])
			if err != nil || leaf.SerialNumber.Int64() != step.serial {
				t.Errorf("%s: certificate %v, %v; want %d", step.name, leaf.SerialNumber, err, step.serial)
			}
		}
		if n := strings.Count(log.String(), "\n"); n != step.lines {
			t.Errorf("%s: the log has %d lines, want %d:\n%s", step.name, n, step.lines, log.String())
		}
	}
}
