package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/agent"
	"github.com/jarvisops/jarvis/backup"
	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/keyring"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
	"github.com/jarvisops/jarvis/tasklog"
	"github.com/jarvisops/jarvis/web"
)

// schema gives the migrations of all packages, in the order in which a server applies them.
func schema(postgres bool) (all []store.Migration) {
	for _, of := range []func(bool) []store.Migration{store.Migrations, keyring.Migrations, pipeline.Migrations, access.Migrations, tasklog.Migrations, checks.Migrations, web.Migrations, agent.Migrations, bot.Migrations} {
		all = append(all, of(postgres)...)
	}
	return all
}

// tablesFor gives the migrations that make the tables of a backup in a database of either kind. From one kind into the
// other all of this program's are made, because what only one kind has stands in between: so the backup must be of a
// record that has them all.
func tablesFor(h backup.Header, postgres bool) ([]store.Migration, error) {
	named := func(list []store.Migration, name string) bool {
		return slices.ContainsFunc(list, func(m store.Migration) bool { return m.Name == name })
	}
	there, here := schema(h.Database == backup.PostgreSQL), schema(postgres)
	var unknown []string
	for _, name := range h.Migrations {
		if !named(there, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		return nil, &exitError{exitUsage, fmt.Sprintf("the backup is of a newer jarvis (%s): it has %s, which this program does not know; restore it with that one", h.Program, strings.Join(unknown, ", "))}
	}
	if (h.Database == backup.PostgreSQL) == postgres {
		return slices.DeleteFunc(here, func(m store.Migration) bool { return !slices.Contains(h.Migrations, m.Name) }), nil
	}
	for _, m := range there {
		if !slices.Contains(h.Migrations, m.Name) {
			return nil, &exitError{exitUsage, fmt.Sprintf("the backup is of an older jarvis (%s), and goes into a database of its own kind (%s) only: restore it there, start the server once, and make a new backup", h.Program, h.Database)}
		}
	}
	return here, nil
}
