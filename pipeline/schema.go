package pipeline

import "github.com/jarvisops/jarvis/store"

// migrations of the record. Times are Unix milliseconds, so that both databases hold and compare the same.
func migrations(postgres bool) []store.Migration {
	list := []store.Migration{{Name: "pipeline/1", Stmts: []string{
		`CREATE TABLE runs (
	id {{id}},
	host TEXT NOT NULL, fqdn TEXT NOT NULL, pipeline TEXT NOT NULL, steps TEXT NOT NULL,
	stage BIGINT NOT NULL, state TEXT NOT NULL, live INTEGER NOT NULL,
	under INTEGER NOT NULL, attempts INTEGER NOT NULL, turn BIGINT NOT NULL, undo_at BIGINT NOT NULL, undoing INTEGER NOT NULL,
	clipboard TEXT NOT NULL, err TEXT NOT NULL, why TEXT NOT NULL,
	by_whom TEXT NOT NULL, origin TEXT NOT NULL, cancel_by TEXT NOT NULL, tries INTEGER NOT NULL,
	started BIGINT NOT NULL, stage_at BIGINT NOT NULL, wake BIGINT NOT NULL, ended BIGINT NOT NULL
)`,
		`CREATE UNIQUE INDEX runs_one_live_per_host ON runs (fqdn) WHERE live = 1`,
		`CREATE INDEX runs_host ON runs (host, id)`,
		`CREATE INDEX runs_live ON runs (live, state) WHERE live = 1`,
		`CREATE TABLE events (
	id {{id}},
	run BIGINT NOT NULL, at BIGINT NOT NULL, kind TEXT NOT NULL, stage BIGINT NOT NULL, step TEXT NOT NULL,
	text TEXT NOT NULL, diff TEXT NOT NULL, took BIGINT NOT NULL
)`,
		`CREATE INDEX events_run ON events (run, id)`,
		`CREATE TABLE timings (pipeline TEXT NOT NULL, stage BIGINT NOT NULL, step TEXT NOT NULL, run BIGINT NOT NULL, took BIGINT NOT NULL)`,
		`CREATE INDEX timings_pipeline ON timings (pipeline, run)`,
		`CREATE TABLE installation (id TEXT NOT NULL)`,
	}}}
	if postgres {
		// Sequence numbers are given out before the commit, so a follower could pass one by; with the transaction's
		// number it reads only what no open transaction can still come before.
		list = append(list, store.Migration{Name: "pipeline/1-postgres", Stmts: []string{`ALTER TABLE events ADD COLUMN tx xid8 NOT NULL DEFAULT pg_current_xact_id()`}})
	}
	list = append(list, store.Migration{Name: "pipeline/2-clusters", Stmts: []string{
		`CREATE TABLE clusters (
	id {{id}},
	name TEXT NOT NULL, barriers TEXT NOT NULL, on_failure TEXT NOT NULL, undoing INTEGER NOT NULL,
	by_whom TEXT NOT NULL, started BIGINT NOT NULL
)`,
		`CREATE INDEX clusters_name ON clusters (name, id)`,
		`ALTER TABLE runs ADD COLUMN cluster BIGINT NOT NULL DEFAULT 0`,
		`CREATE INDEX runs_cluster ON runs (cluster) WHERE cluster > 0`,
	}})
	return append(list, store.Migration{Name: "pipeline/3-approvals", Stmts: []string{
		`CREATE TABLE approvals (
	id {{id}},
	run BIGINT NOT NULL, cluster BIGINT NOT NULL, what TEXT NOT NULL, why TEXT NOT NULL,
	by_whom TEXT NOT NULL, asked BIGINT NOT NULL, expires BIGINT NOT NULL,
	decided BIGINT NOT NULL, decided_by TEXT NOT NULL, outcome TEXT NOT NULL
)`,
		`CREATE UNIQUE INDEX approvals_one_pending ON approvals (run) WHERE outcome = ''`,
		`ALTER TABLE runs ADD COLUMN request_key TEXT NOT NULL DEFAULT ''`,
		`ALTER TABLE runs ADD COLUMN request_hash TEXT NOT NULL DEFAULT ''`,
		`CREATE UNIQUE INDEX runs_request_key ON runs (request_key) WHERE request_key <> ''`,
	}})
}
