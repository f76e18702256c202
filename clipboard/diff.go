package clipboard

import (
	"strings"

	"github.com/jarvisops/jarvis/internal/lcs"
)

// Diff lists what changed from old to new, a line each with "- " or "+ " before it; "" when nothing did. Both are
// taken masked, so that a diff never holds a secret. It is the record of who wrote what.
func Diff(old, new *Clipboard) string {
	if string(old.src) == string(new.src) {
		return ""
	}
	a, b := strings.Split(old.Masked(), "\n"), strings.Split(new.Masked(), "\n")
	var out strings.Builder
	for _, h := range lcs.Hunks(a, b, lcs.MaxCells) {
		for _, l := range a[h.A:h.B] {
			out.WriteString("- " + l + "\n")
		}
		for _, l := range b[h.C:h.D] {
			out.WriteString("+ " + l + "\n")
		}
	}
	return out.String()
}
