package bot

import (
	"crypto/tls"

	"github.com/jarvisops/jarvis/internal/cafile"
)

// ServerTLS gives the TLS configuration of a frontend: the server's certificate must be for name, and by the
// authorities in a PEM file, or by those of the system for "". key is how the configuration calls that file.
func ServerTLS(name, ca, key string) (*tls.Config, error) {
	pool, err := cafile.Pool(key, ca)
	if err != nil {
		return nil, err
	}
	return &tls.Config{ServerName: name, MinVersion: tls.VersionTLS12, RootCAs: pool}, nil
}
