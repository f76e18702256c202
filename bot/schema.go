package bot

import "github.com/jarvisops/jarvis/store"

// Migrations of the tables of what is to be said.
func Migrations(postgres bool) []store.Migration {
	return []store.Migration{{Name: "bot/1", Stmts: []string{
		`CREATE TABLE notices (id {{id}}, event BIGINT NOT NULL UNIQUE, run BIGINT NOT NULL, frontend TEXT NOT NULL, place TEXT NOT NULL, nick TEXT NOT NULL, line TEXT NOT NULL, sent BIGINT NOT NULL)`,
		`CREATE INDEX notices_unsent ON notices (frontend, id) WHERE sent = 0`,
		`CREATE TABLE followers (name TEXT PRIMARY KEY, event BIGINT NOT NULL)`,
	}}, {Name: "bot/2-seats", Stmts: []string{
		`ALTER TABLE notices ADD COLUMN direct TEXT NOT NULL DEFAULT ''`,
		`ALTER TABLE notices ADD COLUMN person TEXT NOT NULL DEFAULT ''`,
		`ALTER TABLE notices ADD COLUMN at BIGINT NOT NULL DEFAULT 0`,
		`CREATE TABLE seats (person TEXT PRIMARY KEY, frontend TEXT NOT NULL, nick TEXT NOT NULL, direct TEXT NOT NULL, at BIGINT NOT NULL)`,
	}}, {Name: "bot/3-claims", Stmts: []string{
		`ALTER TABLE notices ADD COLUMN holder TEXT NOT NULL DEFAULT ''`, // the life of a node that is saying it
	}}, {Name: "bot/4-routes", Stmts: append(oncePerRoute(postgres),
		`ALTER TABLE notices ADD COLUMN body TEXT NOT NULL DEFAULT ''`,     // what happened, as JSON; "" for what is only said
		`ALTER TABLE notices ADD COLUMN next BIGINT NOT NULL DEFAULT 0`,    // not before; of what waits for the end of quiet hours, that
		`ALTER TABLE notices ADD COLUMN tries BIGINT NOT NULL DEFAULT 0`,   // that failed
		`ALTER TABLE notices ADD COLUMN why TEXT NOT NULL DEFAULT ''`,      // the last one did
		`ALTER TABLE notices ADD COLUMN dropped BIGINT NOT NULL DEFAULT 0`, // 1: nobody took it in time
		`ALTER TABLE notices ADD COLUMN born BIGINT NOT NULL DEFAULT 0`,    // when it was made, for a postman
		`CREATE INDEX notices_quiet ON notices (frontend, place) WHERE sent = -1`,
		`CREATE INDEX notices_dropped ON notices (sent) WHERE dropped = 1`,
	)}, {Name: "bot/5-buttons", Stmts: []string{
		// Where buttons stand that decide an approval; approval 0: an older program posted them. settled is when they
		// were taken away.
		`CREATE TABLE buttons (id {{id}}, frontend TEXT NOT NULL, at TEXT NOT NULL, line TEXT NOT NULL, approval BIGINT NOT NULL, settled BIGINT NOT NULL DEFAULT 0, UNIQUE (frontend, at))`,
		`CREATE INDEX buttons_unsettled ON buttons (frontend, id) WHERE settled = 0`,
	}}, {Name: "bot/6-tallies", Stmts: []string{
		// Where the lines stand that tell how far a cluster is; at "": one was about to be posted. over is when the
		// cluster came to rest.
		`CREATE TABLE tallies (id {{id}}, frontend TEXT NOT NULL, cluster BIGINT NOT NULL, at TEXT NOT NULL, line TEXT NOT NULL, over BIGINT NOT NULL, UNIQUE (frontend, cluster))`,
		`CREATE INDEX tallies_open ON tallies (frontend, cluster) WHERE over = 0`,
	}}, {Name: "bot/7-sources", Stmts: withSource(postgres)}}
}

// withSource has a notice say what its event is one of: "" of a run, or one of the sources below. The sign of the
// number said so before.
func withSource(postgres bool) []string {
	const (
		source = `CASE WHEN event >= 0 THEN '' WHEN route LIKE 'folded %' THEN 'quiet' WHEN route LIKE 'summary %' THEN 'summary' ELSE 'checks' END`
		event  = `CASE WHEN event < 0 THEN -event ELSE event END`
	)
	if postgres {
		return []string{
			`ALTER TABLE notices ADD COLUMN source TEXT NOT NULL DEFAULT ''`,
			`DROP INDEX notices_once`,
			`UPDATE notices SET source = ` + source + `, event = ` + event + ` WHERE event < 0`,
			`CREATE UNIQUE INDEX notices_once ON notices (source, event, route)`,
		}
	}
	const columns = "id, run, frontend, place, nick, line, sent, direct, person, at, holder, route, body, next, tries, why, dropped, born"
	return []string{
		`ALTER TABLE notices RENAME TO notices_before_sources`,
		`CREATE TABLE notices (id {{id}}, source TEXT NOT NULL DEFAULT '', event BIGINT NOT NULL, run BIGINT NOT NULL, frontend TEXT NOT NULL, place TEXT NOT NULL, nick TEXT NOT NULL, line TEXT NOT NULL, sent BIGINT NOT NULL, direct TEXT NOT NULL DEFAULT '', person TEXT NOT NULL DEFAULT '', at BIGINT NOT NULL DEFAULT 0, holder TEXT NOT NULL DEFAULT '', route TEXT NOT NULL DEFAULT '', body TEXT NOT NULL DEFAULT '', next BIGINT NOT NULL DEFAULT 0, tries BIGINT NOT NULL DEFAULT 0, why TEXT NOT NULL DEFAULT '', dropped BIGINT NOT NULL DEFAULT 0, born BIGINT NOT NULL DEFAULT 0, UNIQUE (source, event, route))`,
		`INSERT INTO notices (source, event, ` + columns + `) SELECT ` + source + `, ` + event + `, ` + columns + ` FROM notices_before_sources`,
		`DROP TABLE notices_before_sources`,
		`CREATE INDEX notices_unsent ON notices (frontend, id) WHERE sent = 0`,
		`CREATE INDEX notices_quiet ON notices (frontend, place) WHERE sent = -1`,
		`CREATE INDEX notices_dropped ON notices (sent) WHERE dropped = 1`,
	}
}

// Sources of notices beside the events of runs: what the number of its event is one of.
const (
	sourceChecks  = "checks"  // check_notices
	sourceQuiet   = "quiet"   // the last notice that is told with others, after quiet hours
	sourceSummary = "summary" // the second in which it was due
)

// oncePerRoute has an event be told once to each route, and not once. Route "" is where the run was asked. SQLite
// cannot take a constraint out of a table: it is made once more. An older server goes on with either, for it names its
// columns.
func oncePerRoute(postgres bool) []string {
	if postgres {
		return []string{
			`ALTER TABLE notices ADD COLUMN route TEXT NOT NULL DEFAULT ''`,
			`ALTER TABLE notices DROP CONSTRAINT notices_event_key`,
			`CREATE UNIQUE INDEX notices_once ON notices (event, route)`,
		}
	}
	const columns = "id, event, run, frontend, place, nick, line, sent, direct, person, at, holder"
	return []string{
		`ALTER TABLE notices RENAME TO notices_before_routes`,
		`CREATE TABLE notices (id {{id}}, event BIGINT NOT NULL, run BIGINT NOT NULL, frontend TEXT NOT NULL, place TEXT NOT NULL, nick TEXT NOT NULL, line TEXT NOT NULL, sent BIGINT NOT NULL, direct TEXT NOT NULL DEFAULT '', person TEXT NOT NULL DEFAULT '', at BIGINT NOT NULL DEFAULT 0, holder TEXT NOT NULL DEFAULT '', route TEXT NOT NULL DEFAULT '', UNIQUE (event, route))`,
		`INSERT INTO notices (` + columns + `) SELECT ` + columns + ` FROM notices_before_routes`,
		`DROP TABLE notices_before_routes`,
		`CREATE INDEX notices_unsent ON notices (frontend, id) WHERE sent = 0`,
	}
}
