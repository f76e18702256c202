// Package model is what checks are, and what their results mean: values alone.
//
//	YAML ─► Defs ─► checked (Config.Check) ─┐
//	hosts and clusters on record (Record) ──┴─► Catalog ─► a Plan for each pair (task, host), Rules for what follows
//
//	text of a plugin ─► Output, Metric, Range           Schedule ─► when a pair is due
//	status of a run  ─► State ─► Transition: what is to be told
//
// What stands here is a function of what it is given, with no goroutine, database or network. Two things look
// elsewhere: Config.Load reads the files of checks.dir, and a check of definitions looks whether their plugins may be
// run.
//
// What runs, is stored, is told or is shared among servers does not stand here: package checks has that.
package model
