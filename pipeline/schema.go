package pipeline

import "github.com/jarvisops/jarvis/store"

// Migrations of the record. Times are Unix milliseconds, so that both databases hold and compare the same.
func Migrations(postgres bool) []store.Migration {
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
	list = append(list, store.Migration{Name: "pipeline/3-approvals", Stmts: []string{
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
	list = append(list, store.Migration{Name: "pipeline/4-record", Stmts: record(postgres)})
	if postgres {
		// See settled.go. The default is worked out from the left, so the transaction has its number first.
		list = append(list, store.Migration{Name: "pipeline/5-postgres", Stmts: []string{
			`ALTER TABLE events DROP COLUMN tx`,
			`ALTER TABLE events ALTER COLUMN id SET DEFAULT CASE WHEN pg_current_xact_id() IS NOT NULL THEN nextval('events_id_seq') END`,
		}})
	}
	// What waits for an approval is little, and is looked through every few seconds.
	list = append(list, store.Migration{Name: "pipeline/6-pending", Stmts: []string{`CREATE INDEX approvals_pending ON approvals (expires) WHERE outcome = ''`}})
	list = append(list, store.Migration{Name: "pipeline/7-approved", Stmts: []string{`CREATE INDEX approvals_run ON approvals (run)`}})
	list = append(list, store.Migration{Name: "pipeline/8-login", Stmts: []string{
		`ALTER TABLE hosts ADD COLUMN login_user TEXT NOT NULL DEFAULT ''`, `ALTER TABLE hosts ADD COLUMN login_port INTEGER NOT NULL DEFAULT 0`}})
	list = append(list, store.Migration{Name: "pipeline/9-drift", Stmts: []string{
		`CREATE TABLE drift (
	fqdn TEXT PRIMARY KEY, run BIGINT NOT NULL, at BIGINT NOT NULL, next BIGINT NOT NULL, took BIGINT NOT NULL, asked BIGINT NOT NULL,
	found INTEGER NOT NULL, differs TEXT NOT NULL, unknown TEXT NOT NULL, told TEXT NOT NULL
)`,
		`CREATE INDEX drift_next ON drift (next)`,
		`CREATE INDEX drift_found ON drift (found, fqdn)`,
	}})
	list = append(list, store.Migration{Name: "pipeline/10-repeats", Stmts: []string{`ALTER TABLE approvals ADD COLUMN step TEXT NOT NULL DEFAULT ''`}})
	// hosts.machines is NULL for hosts whose machines are still to be written down; see fillMachines.
	list = append(list, store.Migration{Name: "pipeline/11-machines", Stmts: []string{
		`CREATE TABLE machines (
	provider TEXT NOT NULL, account TEXT NOT NULL, id TEXT NOT NULL, fqdn TEXT NOT NULL, run BIGINT NOT NULL, marked INTEGER NOT NULL,
	PRIMARY KEY (provider, account, id)
)`,
		`CREATE INDEX machines_fqdn ON machines (fqdn)`,
		`CREATE INDEX machines_id ON machines (id)`,
		`ALTER TABLE hosts ADD COLUMN machines INTEGER`,
	}})
	// What steps gave hosts in events that were removed; see foldGiven.
	list = append(list, store.Migration{Name: "pipeline/12-given", Stmts: []string{
		`CREATE TABLE given (fqdn TEXT NOT NULL, task TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, event BIGINT NOT NULL)`,
		`CREATE INDEX given_name ON given (fqdn, task, name)`,
	}})
	list = append(list, store.Migration{Name: "pipeline/13-groups", Stmts: []string{
		`CREATE TABLE host_groups (name TEXT NOT NULL, fqdn TEXT NOT NULL, PRIMARY KEY (name, fqdn))`,
		`CREATE INDEX host_groups_fqdn ON host_groups (fqdn)`,
	}})
	// silo_steps: what the steps of a silo are, for those who have none of them. silo_servers: by which lives of nodes
	// a silo is served beside those that stand in it: agents are connected to them.
	list = append(list, store.Migration{Name: "pipeline/14-silos", Stmts: []string{
		`CREATE TABLE silo_steps (silo TEXT NOT NULL, step TEXT NOT NULL, said TEXT NOT NULL, PRIMARY KEY (silo, step))`,
		`CREATE TABLE silo_servers (silo TEXT NOT NULL, holder TEXT NOT NULL, agents INTEGER NOT NULL, since BIGINT NOT NULL, PRIMARY KEY (silo, holder))`,
		`ALTER TABLE runs ADD COLUMN checked TEXT NOT NULL DEFAULT ''`,
		`ALTER TABLE runs ADD COLUMN released INTEGER NOT NULL DEFAULT 0`,
	}})
	// silo_configs: what each life of a node reads under silos. names: of the agents, a line each.
	list = append(list, store.Migration{Name: "pipeline/15-silo-configs", Stmts: []string{
		`CREATE TABLE silo_configs (holder TEXT PRIMARY KEY, said TEXT NOT NULL)`,
		`ALTER TABLE silo_servers ADD COLUMN names TEXT NOT NULL DEFAULT ''`,
	}})
	// What became of the stages of a run, beside a log of any length.
	list = append(list, store.Migration{Name: "pipeline/16-marks", Stmts: []string{`CREATE INDEX events_marks ON events (run, id) WHERE ` + noLines}})
	// Servers that began a database at one time each wrote an id.
	list = append(list, store.Migration{Name: "pipeline/17-one-installation", Stmts: []string{
		`DELETE FROM installation WHERE id <> (SELECT id FROM installation LIMIT 1)`,
		`ALTER TABLE installation ADD COLUMN one INTEGER NOT NULL DEFAULT 1`,
		`CREATE UNIQUE INDEX installation_one ON installation (one)`,
	}})
	// silo_away: the silos for which runs wait and that nobody serves, since when, and under which run people were
	// told.
	list = append(list, store.Migration{Name: "pipeline/18-away", Stmts: []string{`CREATE TABLE silo_away (silo TEXT PRIMARY KEY, since BIGINT NOT NULL, run BIGINT NOT NULL)`}})
	list = append(list, store.Migration{Name: "pipeline/19-holds", Stmts: []string{`CREATE TABLE holds (fqdn TEXT PRIMARY KEY, by_whom TEXT NOT NULL, why TEXT NOT NULL, since BIGINT NOT NULL)`}})
	// kept: the run stays when its cluster is taken back, for its host was held.
	list = append(list, store.Migration{Name: "pipeline/20-kept", Stmts: []string{`ALTER TABLE runs ADD COLUMN kept INTEGER NOT NULL DEFAULT 0`}})
	// What was asked to begin at a time; see planned.go.
	return append(list, store.Migration{Name: "pipeline/21-at", Stmts: []string{
		`ALTER TABLE runs ADD COLUMN begin_at BIGINT NOT NULL DEFAULT 0`,
		`ALTER TABLE runs ADD COLUMN needs TEXT NOT NULL DEFAULT ''`,
		`CREATE INDEX runs_planned ON runs (wake) WHERE state = 'planned'`,
	}})
}

// record makes values of what was packed into words: the kind of a run, how it ended, what it waits for; and gives each
// host a row of its own. A run that was never approved never began.
func record(postgres bool) []string {
	slash := "instr(pipeline, '/')"
	if postgres {
		slash = "position('/' in pipeline)"
	}
	return []string{
		`ALTER TABLE runs RENAME COLUMN turn TO epoch`,
		`ALTER TABLE runs RENAME COLUMN under TO mark`,
		`ALTER TABLE runs ADD COLUMN verb TEXT NOT NULL DEFAULT ''`,
		`ALTER TABLE runs ADD COLUMN provider TEXT NOT NULL DEFAULT ''`,
		`ALTER TABLE runs ADD COLUMN variant TEXT NOT NULL DEFAULT ''`,
		`ALTER TABLE runs ADD COLUMN ending TEXT NOT NULL DEFAULT ''`,
		`ALTER TABLE runs ADD COLUMN reason TEXT NOT NULL DEFAULT ''`,
		`ALTER TABLE runs ADD COLUMN behind TEXT NOT NULL DEFAULT ''`,
		`ALTER TABLE runs ADD COLUMN began BIGINT NOT NULL DEFAULT 0`,
		`ALTER TABLE approvals ADD COLUMN behind TEXT NOT NULL DEFAULT ''`,
		`ALTER TABLE approvals ADD COLUMN because TEXT NOT NULL DEFAULT ''`,
		`UPDATE runs SET verb = CASE WHEN pipeline LIKE '%/%' THEN substr(pipeline, 1, ` + slash + ` - 1) ELSE pipeline END,
	provider = CASE WHEN pipeline LIKE '%/%' AND pipeline NOT LIKE 'task/%' THEN substr(pipeline, ` + slash + ` + 1) ELSE '' END`,
		`UPDATE runs SET variant = 'network', provider = replace(provider, '-network', '') WHERE provider LIKE '%-network' AND verb <> 'own'`,
		`UPDATE runs SET variant = 'check' WHERE pipeline = 'task/check'`,
		`UPDATE runs SET began = started WHERE NOT EXISTS (SELECT 1 FROM approvals WHERE approvals.run = runs.id AND approvals.what = 'start')`,
		`UPDATE runs SET began = (SELECT max(decided) FROM approvals WHERE approvals.run = runs.id AND approvals.what = 'start' AND outcome = 'approved')
	WHERE EXISTS (SELECT 1 FROM approvals WHERE approvals.run = runs.id AND approvals.what = 'start' AND outcome = 'approved')`,
		`UPDATE runs SET ending = CASE
	WHEN state = 'ready' AND verb = 'destroy' THEN 'destroyed'
	WHEN state = 'ready' THEN 'ready'
	WHEN state = 'undone' THEN 'undone'
	WHEN state = 'failed' AND EXISTS (SELECT 1 FROM events WHERE events.run = runs.id AND kind = 'undo_failed'
		AND NOT EXISTS (SELECT 1 FROM events AS later WHERE later.run = runs.id AND later.id > events.id AND later.kind IN ('retried', 'skipped'))) THEN 'undone_in_part'
	WHEN state IN ('failed', 'asking') THEN 'failed'
	WHEN state = 'cancelled' AND began > 0 THEN 'cancelled'
	WHEN state = 'cancelled' AND EXISTS (SELECT 1 FROM approvals WHERE approvals.run = runs.id AND what = 'start' AND outcome = 'expired') THEN 'expired'
	WHEN state = 'cancelled' AND EXISTS (SELECT 1 FROM approvals WHERE approvals.run = runs.id AND what = 'start' AND decided_by = runs.by_whom) THEN 'withdrawn'
	WHEN state = 'cancelled' THEN 'denied'
	ELSE '' END`,
		`UPDATE runs SET reason = CASE WHEN why LIKE 'at the barrier%' THEN 'barrier' WHEN why LIKE '% holds: %' THEN 'hold' WHEN why LIKE 'waits for the %' THEN 'member' WHEN why LIKE 'try %' THEN 'retry' ELSE 'host' END
	WHERE state = 'waiting'`,
		`CREATE TABLE hosts (
	fqdn TEXT PRIMARY KEY, host TEXT NOT NULL, run BIGINT NOT NULL, newest BIGINT NOT NULL, task INTEGER NOT NULL,
	address TEXT, hostkeys TEXT
)`,
		`CREATE INDEX hosts_host ON hosts (host, fqdn)`,
		`CREATE INDEX runs_fqdn ON runs (fqdn, id)`,
		`CREATE INDEX runs_state ON runs (state, id)`,
		`DROP INDEX runs_host`,
		`INSERT INTO hosts (fqdn, host, run, newest, task)
	SELECT fqdn, max(host), max(CASE WHEN began > 0 THEN id ELSE 0 END), max(id), max(CASE WHEN verb = 'task' THEN 1 ELSE 0 END) FROM runs GROUP BY fqdn`,
	}
}
