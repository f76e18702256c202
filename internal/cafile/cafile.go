// Package cafile reads the authorities by which a server's certificate is verified, as ca: in the configuration names
// them.
package cafile

import (
	"crypto/x509"
	"os"

	"github.com/jarvisops/jarvis/internal/mistake"
)

// Pool gives the authorities of a PEM file; nil, which are those of the system, for "". key is how the configuration
// calls the file; the error is a mistake there.
func Pool(key, file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, mistake.At(key, "cannot be read: %v", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, mistake.At(key, "(%s) holds no certificate", file)
	}
	return pool, nil
}
