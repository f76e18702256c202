//go:build !goolm

package matrix

import "context"

// openKeys gives none: libolm, which mautrix would take otherwise, is C and not maintained.
// Why not libolm all the same: docs/adr/0021-goolm-and-not-libolm.md
func (f *Frontend) openKeys(context.Context, *session) (cipher, error) { return nil, nil }
