package pages

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
)

// asset is a file that pages name. Its address has its hash, so that it may be kept for ever.
type asset struct {
	path, kind   string
	body, zipped []byte
}

// readAssets compresses once, at the start.
func (s *Site) readAssets() error {
	s.static = map[string]*asset{}
	for name, kind := range map[string]string{"jarvis.css": "text/css; charset=utf-8", "jarvis.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"} {
		b, err := files.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read the pages: %w", err)
		}
		sum := sha256.Sum256(b)
		s.static[name] = &asset{path: s.prefix + "/static/" + hex.EncodeToString(sum[:6]) + "/" + name, kind: kind, body: b, zipped: zipped(b)}
	}
	return nil
}

// serveStatic gives a file, by whatever hash: an older page, or a node of an older version, may ask for another.
func (s *Site) serveStatic(w http.ResponseWriter, r *http.Request) {
	a := s.static[r.PathValue("name")]
	if a == nil {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.kind)
	if strings.HasSuffix(a.path, "/static/"+r.PathValue("hash")+"/"+r.PathValue("name")) {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	write(w, r, http.StatusOK, a.body, func([]byte) []byte { return a.zipped })
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	z, _ := gzip.NewWriterLevel(&out, gzip.DefaultCompression) // the level is right
	_, _ = z.Write(b)                                          // a buffer takes everything
	_ = z.Close()
	return out.Bytes()
}

// write gives a body, by zip where the browser takes that and it is worth while; zip may be nil.
func write(w http.ResponseWriter, r *http.Request, status int, body []byte, zip func([]byte) []byte) {
	w.Header().Set("Vary", "Accept-Encoding")
	if zip != nil && len(body) > 1400 && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		body = zip(body)
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
