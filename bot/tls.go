package bot

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
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
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s (%s) holds no certificate", key, ca)
	}
	return c, nil
}
