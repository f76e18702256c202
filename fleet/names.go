package fleet

import "iter"

// Names gives what the files, directories and links of a tree are called below the Root of SendOptions, in their order.
func (t *Tree) Names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, e := range t.entries {
			if !yield(e.name) {
				return
			}
		}
	}
}
