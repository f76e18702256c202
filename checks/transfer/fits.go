package transfer

import (
	"path/filepath"
	"slices"

	"github.com/jarvisops/jarvis/checks/model"
)

// Fits says what would be wrong with a file of definitions beside those that a configuration has (nil: none). The file
// itself, when it is one of them already, does not count: it would be replaced.
func Fits(text []byte, beside *model.Config, file string) error {
	own, err := model.ReadDefs(text)
	if err != nil {
		return err
	}
	all := &model.Defs{}
	plugins := ""
	if beside != nil {
		conf := *beside
		plugins = conf.Plugins
		if all, err = conf.LoadBut(func(f string) bool { return same(f, file) }); err != nil {
			return err
		}
	}
	all = model.Together(all, own)
	return all.Check(plugins)
}

// same compares two paths from the root on; links are not followed.
func same(a, b string) bool {
	paths := []string{a, b}
	for i, p := range paths {
		if abs, err := filepath.Abs(p); err == nil {
			paths[i] = abs
		}
	}
	return len(slices.Compact(paths)) == 1
}
