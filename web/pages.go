package web

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/store"
)

// Pages keep what is too long for chat. A page is read by whoever has its address, as the channel could read the
// answer: the address has 128 bits of chance, and ends with the page.
type Pages struct {
	db  *store.DB
	url string
}

// pageLife is how long a page can be read.
const pageLife = 7 * 24 * time.Hour

// keySize is how many bytes of chance are in an address.
const keySize = 16

// maxPage bounds one page.
const maxPage = 4 << 20

// NewPages makes their table. url is where people reach the API.
func NewPages(ctx context.Context, db *store.DB, url string) (*Pages, error) {
	return &Pages{db, strings.TrimSuffix(url, "/")}, db.Migrate(ctx, Migrations(db.Postgres() != nil))
}

// Put stores a page and gives its address.
func (p *Pages) Put(ctx context.Context, lines []string) (string, error) {
	b := make([]byte, keySize)
	_, _ = rand.Read(b) // never fails
	key := base64.RawURLEncoding.EncodeToString(b)
	text := pageOf(lines)
	now := time.Now()
	err := p.db.Write(ctx, func(tx store.Tx) error {
		if _, err := tx.Exec(ctx, "DELETE FROM pages WHERE expires < ?", now.UnixMilli()); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO pages (key, text, expires) VALUES (?, ?, ?)", key, text, now.Add(pageLife).UnixMilli())
		return err
	})
	if err != nil {
		return "", fmt.Errorf("store a page: %w", err)
	}
	return p.url + "/p/" + key, nil
}

// pageOf puts lines together as far as a page goes.
func pageOf(lines []string) string {
	var b strings.Builder
	for _, l := range lines {
		if room := maxPage - b.Len(); len(l) >= room {
			b.WriteString(strings.ToValidUTF8(l[:room], ""))
			b.WriteString("\n… cut here: a page has 4 MiB\n")
			break
		}
		b.WriteString(l)
		b.WriteByte('\n')
	}
	return b.String()
}

// serve gives a page to whoever knows its address. It is text, and no browser may take it for anything else.
func (p *Pages) serve(w http.ResponseWriter, r *http.Request) {
	var text string
	err := store.ErrNoRows
	if key := r.PathValue("key"); len(key) == base64.RawURLEncoding.EncodedLen(keySize) { // else the database need not be asked
		err = p.db.QueryRow(r.Context(), "SELECT text FROM pages WHERE key = ? AND expires > ?", key, time.Now().UnixMilli()).Scan(&text)
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Robots-Tag", "noindex")
	h.Set("Cache-Control", "private, no-store")
	switch {
	case errors.Is(err, store.ErrNoRows):
		w.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprintln(w, "This page is not there: its address is wrong, or older than a week.")
	case err != nil:
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = fmt.Fprintln(w, "Something broke on my side.")
	default:
		for len(text) > 0 { // by pieces: a page has megabytes, and a slow reader holds what is being written
			n := min(len(text), 32<<10)
			if _, err := io.WriteString(w, text[:n]); err != nil {
				return
			}
			text = text[n:]
		}
	}
}

// Migrations of the pages' table; it is the same on both databases.
func Migrations(bool) []store.Migration {
	return []store.Migration{{Name: "web/1-pages", Stmts: []string{`CREATE TABLE pages (key TEXT PRIMARY KEY, text TEXT NOT NULL, expires BIGINT NOT NULL)`}}}
}
