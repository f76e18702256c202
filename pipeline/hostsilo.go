package pipeline

import (
	"strings"

	"github.com/jarvisops/jarvis/clipboard"
)

// SiloKey is the key of a clipboard that says in which silo its host stands: it is reached through an agent of that
// silo.
const SiloKey = "silo"

// Silo gives the silo in which the host stands; "" when it is in none.
func (h Standing) Silo() string {
	if !strings.Contains(h.clipboard, SiloKey) {
		return ""
	}
	c, err := h.doc()
	if err != nil {
		return ""
	}
	return SiloOfHost(c)
}

// SiloOfHost gives the silo in which a clipboard's host stands; "" when it is in none.
func SiloOfHost(c *clipboard.Clipboard) string { return c.Get(SiloKey) }
