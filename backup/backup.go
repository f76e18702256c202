// Package backup is the form of a backup: one file, sealed, that holds the record, whichever database it came from, and
// the files without which the record is of no use. It knows neither which tables there are nor what they mean.
//
//	store.Snapshot ──► Writer ─► lines ─► zstd ─► age ──► FILE ──► age ─► zstd ─► lines ─► Read ──► store.Loading
//
// The lines are JSON, one value each:
//
//	{"jarvis_backup": 1, "program": …, "at": …, "migrations": […]}    the header, first
//	{"file": "age.key", "mode": 384, "data": "…"}                     base64
//	{"table": "runs", "columns": […], "last": 12}
//	[12, "loki", null, {"f": "0.5"}, {"b": "/w=="}]                   a row: numbers are whole; f a broken one, b no UTF-8
//	{"end": true, "files": 5, "tables": 20, "rows": 4711}             the last; without it the file was cut off
//
// age proves each block and the end, so that neither a torn nor a changed file is taken for a whole one. cmd/jarvis
// calls it; it starts no goroutine.
//
// Why not pg_dump, or a copy of the file: docs/adr/0024-a-backup-has-a-form-of-its-own.md
package backup

import (
	"time"

	"github.com/jarvisops/jarvis/store"
)

// Format is the number of the form that this program writes, and the newest that it reads.
const Format = 1

// Header says what a backup is of.
type Header struct {
	Format       int       `json:"jarvis_backup"`
	Program      string    `json:"program"` // version of the jarvis that wrote it
	At           time.Time `json:"at"`      // the moment that it shows
	Database     string    `json:"database"`
	Installation string    `json:"installation"`
	Host         string    `json:"host"` // of the machine that it was made on
	Data         string    `json:"data"` // its data folder there
	Migrations   []string  `json:"migrations"`
}

// The kinds of databases.
const (
	SQLite     = "sqlite"
	PostgreSQL = "postgresql"
)

// File is one of the data folder; Name is below it, with slashes.
type File struct {
	Name string `json:"file"`
	Mode uint32 `json:"mode"`
	Data []byte `json:"data"`
}

// Sums is what a backup holds, counted.
type Sums struct {
	Files  int   `json:"files"`
	Tables int   `json:"tables"`
	Rows   int64 `json:"rows"`
}

// Taker takes what Read finds, in the order of the file.
type Taker interface {
	Header(Header) error
	File(File) error
	store.Sink
}
