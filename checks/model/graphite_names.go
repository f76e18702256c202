package model

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
)

// GraphiteLines writes the plaintext protocol: path value timestamp.
func GraphiteLines(b *strings.Builder, path, perf string, at int64) {
	list, _ := ParsePerf(perf)
	var labels []string
	for _, x := range list {
		labels = append(labels, x.Label)
	}
	names := GraphiteNames(slices.Values(labels))
	for _, x := range list {
		if !math.IsNaN(x.Value) {
			fmt.Fprintf(b, "%s.%s %s %d\n", path, names(x.Label), strconv.FormatFloat(x.Value, 'f', -1, 64), at)
		}
	}
}

// GraphiteNames gives what makes one part of a path. Those of all that would have the same name as another have a hash
// of what they are called in it.
func GraphiteNames(all iter.Seq[string]) func(string) string {
	owner, several := map[string]string{}, map[string]bool{}
	for s := range all {
		name := graphiteName(s)
		if other, ok := owner[name]; ok && other != s {
			several[name] = true
		}
		owner[name] = s
	}
	return func(s string) string {
		name := graphiteName(s)
		if several[name] {
			sum := sha256.Sum256([]byte(s))
			name += "_" + hex.EncodeToString(sum[:4])
		}
		return name
	}
}

// graphiteName makes one part of a path.
func graphiteName(s string) string {
	if s == "/" {
		return "root"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		}
		return '_'
	}, strings.Trim(s, "/"))
}
