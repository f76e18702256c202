package irc

import (
	"time"

	"github.com/jarvisops/jarvis/clipboard"
)

// Config of one server.
type Config struct {
	Server   string           `yaml:"server" doc:"host:port"`
	TLS      bool             `yaml:"tls" doc:"encrypt; always verified"`
	CA       string           `yaml:"ca" path:"relative" doc:"file of the CA that signed the server's certificate; empty: the system's"`
	Cert     string           `yaml:"cert" path:"relative" doc:"file of the bot's client certificate, for sasl.external or a fingerprint at NickServ"`
	Key      string           `yaml:"key" path:"relative" doc:"file of its key"`
	Nick     string           `yaml:"nick" doc:"what the bot is called there" default:"jarvis"`
	Password clipboard.Secret `yaml:"password" doc:"of the server"`
	SASL     SASL             `yaml:"sasl" doc:"services account of the bot"`
	NickServ NickServ         `yaml:"nickserv" doc:"login by a command to the services, where the server has no SASL"`
	Channels []string         `yaml:"channels" secret:"behind name" doc:"to join: \"#ops\", or \"#ops key\""`
	Rate     Rate             `yaml:"rate" doc:"how fast the bot may speak"`

	// Name is what the bot is addressed by besides its nick.
	Name string `yaml:"-"`
}

// SASL is PLAIN (RFC 4616), or EXTERNAL with a client certificate (RFC 4422, appendix A).
type SASL struct {
	External bool             `yaml:"external" doc:"log in by the client certificate cert, whose fingerprint the services know; without a user and password"`
	User     string           `yaml:"user" doc:"account name; empty: no SASL"`
	Password clipboard.Secret `yaml:"password" doc:"at most 200 bytes"`
}

// Rate is a token bucket.
type Rate struct {
	Burst    int           `yaml:"burst" doc:"lines at once" default:"4"`
	Interval time.Duration `yaml:"interval" doc:"then one line per interval" default:"1s"`
}
