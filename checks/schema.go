package checks

import "github.com/jarvisops/jarvis/store"

// Times are Unix milliseconds. The times of results grow with their ids but for late ones, so retention takes them from
// the head. Followers keep an id, and follow up to settledUpTo.
var migrations = []store.Migration{{Name: "checks/1", Stmts: []string{
	`CREATE TABLE check_defs (kind TEXT NOT NULL, name TEXT NOT NULL, yaml TEXT NOT NULL, by_whom TEXT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (kind, name))`,
	`CREATE TABLE check_pairs (id {{id}}, task TEXT NOT NULL, host TEXT NOT NULL, state TEXT NOT NULL, UNIQUE (host, task))`,
	`CREATE TABLE check_results (
	id {{id}},
	pair BIGINT NOT NULL, at BIGINT NOT NULL, due BIGINT NOT NULL, took BIGINT NOT NULL,
	status INTEGER NOT NULL, soft INTEGER NOT NULL, quiet INTEGER NOT NULL, exit INTEGER NOT NULL, sig TEXT NOT NULL,
	line TEXT NOT NULL, long TEXT NOT NULL, perf TEXT NOT NULL
)`,
	`CREATE INDEX check_results_pair ON check_results (pair, id)`,
	`CREATE INDEX check_results_problems ON check_results (id) WHERE status > 0`,
	`CREATE TABLE check_metrics (
	pair BIGINT NOT NULL, label TEXT NOT NULL, step BIGINT NOT NULL, at BIGINT NOT NULL,
	n BIGINT NOT NULL, low DOUBLE PRECISION NOT NULL, high DOUBLE PRECISION NOT NULL, total DOUBLE PRECISION NOT NULL, unit TEXT NOT NULL,
	PRIMARY KEY (pair, label, step, at)
)`,
	`CREATE INDEX check_metrics_age ON check_metrics (step, at)`,
	`CREATE TABLE check_downtimes (
	id {{id}},
	task TEXT NOT NULL, host TEXT NOT NULL, begins BIGINT NOT NULL, ends BIGINT NOT NULL, by_whom TEXT NOT NULL, why TEXT NOT NULL
)`,
	`CREATE TABLE check_outbox (
	id {{id}},
	at BIGINT NOT NULL, kind TEXT NOT NULL, action TEXT NOT NULL, event TEXT NOT NULL,
	done BIGINT NOT NULL, tries INTEGER NOT NULL, next BIGINT NOT NULL, err TEXT NOT NULL
)`,
	`CREATE INDEX check_outbox_open ON check_outbox (kind, next, id) WHERE done = 0`,
	`CREATE TABLE check_notices (id {{id}}, at BIGINT NOT NULL, person TEXT NOT NULL, channel TEXT NOT NULL, line TEXT NOT NULL)`,
	`CREATE TABLE check_marks (name TEXT PRIMARY KEY, value BIGINT NOT NULL)`,
}}, {Name: "checks/2", Stmts: []string{
	`ALTER TABLE check_pairs ADD COLUMN rev BIGINT NOT NULL DEFAULT 0`, // of the state
	`ALTER TABLE check_pairs ADD COLUMN tx BIGINT NOT NULL DEFAULT 0`,  // that wrote it (PostgreSQL)
	`CREATE TABLE check_shares (name TEXT PRIMARY KEY, holder TEXT NOT NULL, since BIGINT NOT NULL, at BIGINT NOT NULL)`,
}}, {Name: "checks/3-threads", Stmts: []string{
	`CREATE TABLE check_threads (contact TEXT NOT NULL, task TEXT NOT NULL, host TEXT NOT NULL, bad BIGINT NOT NULL, letter BIGINT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (contact, host, task))`,
}}, {Name: "checks/3-given", Stmts: []string{
	`CREATE TABLE check_given (id TEXT PRIMARY KEY, hash TEXT NOT NULL, at BIGINT NOT NULL)`, // deliveries that may come again
	`CREATE INDEX check_given_age ON check_given (at)`,
}}, {Name: "checks/4-spans", Stmts: []string{
	// How each check was, by what was believed, and from when to when: followed from the results, and kept for longer
	// than those.
	`CREATE TABLE check_spans (pair BIGINT NOT NULL, since BIGINT NOT NULL, until BIGINT NOT NULL, status INTEGER NOT NULL, PRIMARY KEY (pair, since))`,
	`CREATE INDEX check_spans_age ON check_spans (until)`,
}}}

// Migrations of the tables of checks; they are the same on both databases.
func Migrations(bool) []store.Migration { return migrations }
