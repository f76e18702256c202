package model

import (
	"fmt"
	"os"
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/internal/mistake"
)

// Place is where a definition stands. The zero Place is that of one which stands in no file: the API made it.
type Place struct {
	File string // "": jarvis.yaml, when nobody said how it is called
	Key  string // as in checks.actions[0] of jarvis.yaml, and actions[0] of a file of checks.dir
	own  bool   // it is jarvis.yaml
}

// placed notes where each definition stands: in a file, below a key ("" or as in "checks.").
func (d *Defs) placed(file, below string, own bool) {
	d.places = map[string][]Place{}
	for _, kind := range Kinds {
		for i := range d.count(kind) {
			d.places[kind] = append(d.places[kind], Place{File: file, Key: fmt.Sprintf("%s%ss[%d]", below, kind, i), own: own})
		}
	}
}

// place gives that of one definition.
func (d *Defs) place(kind string, i int) Place {
	if list := d.places[kind]; i < len(list) {
		return list[i]
	}
	return Place{}
}

// addPlaces takes over where the definitions of o stand, which come after those of d.
func (d *Defs) addPlaces(o *Defs) {
	if d.places == nil && o.places == nil {
		return
	}
	all := map[string][]Place{}
	for _, kind := range Kinds {
		for i := range d.count(kind) {
			all[kind] = append(all[kind], d.place(kind, i))
		}
		for i := range o.count(kind) {
			all[kind] = append(all[kind], o.place(kind, i))
		}
	}
	d.places = all
}

// told gives a fault with its place. The lines of jarvis.yaml are known to package config.
func (d *Defs) told(f fault) *mistake.One {
	return d.place(f.kind, f.index).mistake("", ": "+f.err.Error())
}

// mistake gives what is wrong at a key below the place (as in ".tasks[1]"; "": the place itself).
func (p Place) mistake(below, msg string) *mistake.One {
	if p.own {
		return &mistake.One{Key: p.Key + below, Msg: msg}
	}
	return &mistake.One{File: p.File, Line: lineIn(p.File, p.Key+below), Key: p.Key + below, Msg: msg}
}

// String says it for people, as it is in the file now; "" for none.
func (p Place) String() string { return p.at("") }

// at is String of a key below the place.
func (p Place) at(below string) string {
	if p.File == "" {
		return p.Key + below
	}
	if line := lineIn(p.File, p.Key+below); line > 0 {
		return fmt.Sprintf("%s, line %d", p.File, line)
	}
	return p.File
}

// lineIn gives the line of a key in a file; 0 when it is not known. It is asked only where something is told, so the
// file is read for it.
func lineIn(file, key string) int {
	if file == "" {
		return 0
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	var root yaml.Node
	if yaml.Load(b, &root) != nil {
		return 0
	}
	line, _ := mistake.Line(&root, key)
	return line
}

// ones gives what is wrong with a file that cannot be used, each with its line.
func ones(file string, err error) []error {
	var out []error
	for _, o := range mistake.All(err, "") {
		at := *o
		at.File = file
		out = append(out, &at)
	}
	return slices.Clip(out)
}
