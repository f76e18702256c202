package converge

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// FactsDir is where a host has facts of its own, unless Options.FactsDir says otherwise.
const FactsDir = "/etc/converge/facts.d"

// Fact is a fact of yours as a function. It may ask the node for all that a Configurator may: Read, Prop, and Facts,
// which then have what the host tells, and no other function's. ErrPending from there is to be handed up.
type Fact func(n *Node) (any, error)

// ownValue reads what a program or file of the facts' folder says: JSON where it begins as an object or list, otherwise
// text. A bare
// 1.10 is text: as a number it would be 1.1.
func ownValue(text string) (any, error) {
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "[") {
		return text, nil
	}
	var v any
	err := json.Unmarshal([]byte(text), &v)
	return v, err
}

// ownFacts calls all functions, so that what they must know is read at once, and adds what they give to what the host
// has.
func (n *Node) ownFacts(own map[string]any) (map[string]any, error) {
	out := maps.Clone(own)
	if out == nil {
		out = map[string]any{}
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(n.own)) {
		v, err := n.own[name](n)
		if _, twice := own[name]; twice && err == nil {
			err = fmt.Errorf("it is in %s on the host, too", n.factsDir)
		}
		if err != nil {
			err = fmt.Errorf("the fact %s: %w", name, err)
		}
		out[name], errs = v, append(errs, err)
	}
	return out, first(errs...)
}
