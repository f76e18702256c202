package main

import (
	"slices"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/jarvisops/jarvis/command"
)

// TestALineIsReadWithoutTheOtherCommands: to build them all took half of a start. Each reads as it does among the
// others.
func TestALineIsReadWithoutTheOtherCommands(t *testing.T) {
	var names []string
	for _, c := range ownCommands {
		names = append(names, c.name)
	}
	for _, v := range command.Verbs() {
		names = append(names, v.Name)
	}
	for _, name := range names {
		some, all := speaksOf([]string{"--config", "exec", name, "--help"})
		if slices.Contains(whole, name) {
			if !all {
				t.Errorf("%s speaks of all commands, and %q are built", name, some)
			}
			continue
		}
		if all || !slices.Equal(some, []string{name}) {
			t.Errorf("for %s, %q are built (all: %v)", name, some, all)
		}
		_, alone, _ := jarvis(t, "", name, "--help")
		_, among, _ := jarvis(t, "", "help", name)
		if alone == "" || alone != among {
			t.Errorf("alone %s says of itself:\n%s\namong all others:\n%s", name, alone, among)
		}
	}
}

func TestWhichCommandsALineCanBeAbout(t *testing.T) {
	modes := []string{"exec", "sync", "upload", "lock"}
	for _, c := range []struct {
		args  []string
		names []string
		all   bool
	}{
		{args: []string{"--version"}},
		{args: []string{"--help"}, all: true},
		{args: []string{"--config", "x"}, all: true},
		{args: []string{"ex"}, all: true},
		{args: []string{"restart"}, all: true},
		{args: []string{"--server=x", "status", "loki"}, names: []string{"status"}},
		{args: []string{"exec", "-o", "web1", "true"}, names: []string{"exec"}},
		{args: []string{"exec", "-o", "web1", "-yC", "true"}, names: modes},
		{args: []string{"exec", "--sync"}, names: modes},
		{args: []string{"lock", "-V"}, names: modes},
		{args: []string{"fetch", "-C"}, names: []string{"fetch"}},
	} {
		names, all := speaksOf(c.args)
		if all != c.all || !slices.Equal(names, c.names) {
			t.Errorf("speaksOf(%q) = %q, %v, want %q, %v", c.args, names, all, c.names, c.all)
		}
		p, err := newParser(&global{}, names, all, kong.Exit(func(int) {}))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(p.Model.Children); !all && n != len(names) {
			t.Errorf("for %q, %d commands are built", c.args, n)
		}
	}
}
