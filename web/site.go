package web

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/jarvisops/jarvis/access"
)

// Site is what people see in a browser. It is served on the address, never on the socket, and knows by itself who asks.
type Site interface {
	http.Handler
	// Serves reports whether a path is the site's. Of what nobody serves, it also answers who asks for HTML.
	Serves(r *http.Request) bool
}

// Visitor is who asks for something of the site, before anybody knows who it is.
type Visitor struct {
	Addr netip.Addr

	enter   func(person string, stream bool) (leave func(), ok bool)
	refused func(access.Record) bool
}

// Place is what counts as one sender.
func (v Visitor) Place() string { return place(v.Addr) }

// Enter says whose request it is, once that is known. It counts among theirs, of the API too; ok is false when they
// have too many. Until leave is called its connection is not closed to let others in.
func (v Visitor) Enter(person string, stream bool) (leave func(), ok bool) {
	if v.enter == nil {
		return func() {}, true
	}
	return v.enter(person, stream)
}

// Refused puts a token or link on record that stands for nobody; fast reports that its place sends too many.
func (v Visitor) Refused(r access.Record) (fast bool) { return v.refused != nil && v.refused(r) }

type visitorKey struct{}

// VisitorOf gives the visitor of a request to the site.
func VisitorOf(ctx context.Context) Visitor {
	v, _ := ctx.Value(visitorKey{}).(Visitor)
	return v
}

// site hands over what is the site's.
func (s *Server) site(next http.Handler) http.Handler {
	if s.Site == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, local := r.Context().Value(peerKey{}).(string); local || !s.Site.Serves(r) && !s.strayed(r) {
			next.ServeHTTP(w, r)
			return
		}
		addr := s.proxies.client(r)
		v := Visitor{Addr: addr, refused: func(rec access.Record) bool { return s.failures.note(addr, rec) > 0 }}
		v.enter = func(person string, stream bool) (func(), bool) { return s.enter(r, person, stream) }
		s.Site.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), visitorKey{}, v)))
	})
}

// enter takes what a request of a person takes.
func (s *Server) enter(r *http.Request, person string, stream bool) (leave func(), ok bool) {
	request, ok := s.requests.take(person)
	if !ok {
		return nil, false
	}
	open := func() {}
	if stream {
		if open, ok = s.streams.take(person); !ok {
			request()
			return nil, false
		}
	}
	served := func() {}
	if g, ok := r.Context().Value(guestKey{}).(*guest); ok {
		served = g.serving()
	}
	return func() { served(); open(); request() }, true
}

// strayed reports whether somebody in a browser asks for what nobody serves.
func (s *Server) strayed(r *http.Request) bool {
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		return false
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	for _, p := range s.patterns {
		_, path, _ := strings.Cut(p, " ")
		if of, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/"); of == first {
			return false
		}
	}
	return first != "v1" && first != "alf" && !strings.HasPrefix(first, "openapi")
}

// below takes the path of http.url off a request's, for proxies that hand it on.
func (h HTTP) below(next http.Handler) http.Handler {
	u, err := url.Parse(h.URL)
	if err != nil || strings.Trim(u.Path, "/") == "" {
		return next
	}
	prefix := "/" + strings.Trim(u.Path, "/")
	cut := http.StripPrefix(prefix, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == prefix:
			http.Redirect(w, r, prefix+"/", http.StatusPermanentRedirect)
		case strings.HasPrefix(r.URL.Path, prefix+"/"):
			cut.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}
