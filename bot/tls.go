package bot

import (
	"crypto/tls"
	"crypto/x509"
	"os"

	"github.com/jarvisops/jarvis/internal/mistake"
)

// ServerTLS gives the TLS configuration of a frontend: the server's certificate must be for name, and by the authorities
// in a PEM file, or by those of the system for "". key is how the configuration calls that file.
func ServerTLS(name, ca, key string) (*tls.Config, error) {
	c := &tls.Config{ServerName: name, MinVersion: tls.VersionTLS12}
	if ca == "" {
		return c, nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, mistake.At(key, "cannot be read: %v", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, mistake.At(key, "(%s) holds no certificate", ca)
	}
	return c, nil
}
