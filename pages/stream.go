package pages

import (
	"bytes"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/jarvisops/jarvis/access"
)

// beatEvery is how often a stream says that it is there, so that the page can say when it is not.
const beatEvery = 15 * time.Second

// askEvery is how often an open page asks whether its reader may still see it.
const askEvery = 5 * time.Second

// event is one of a stream (HTML, Server-sent events); id 0: none.
func event(kind string, data []byte, id int64) []byte {
	var b bytes.Buffer
	if id > 0 {
		b.WriteString("id: " + strconv.FormatInt(id, 10) + "\n")
	}
	b.WriteString("event: " + kind + "\n")
	for l := range bytes.Lines(bytes.ReplaceAll(data, []byte{'\r'}, nil)) {
		b.WriteString("data: ")
		b.Write(bytes.TrimSuffix(l, []byte{'\n'}))
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// liveFrame says in the page whether it hears. The words are ours.
func liveFrame(class, words string) []byte {
	return event("part", []byte(`<span id="live" class="`+class+`" role="status">`+words+`</span>`), 0)
}

// begin sends the header of a stream, which no proxy may hold back. retry is when the browser comes back.
func begin(w http.ResponseWriter, retry time.Duration) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write([]byte("retry: " + strconv.FormatInt(retry.Milliseconds(), 10) + "\n\n"))
}

// deafen says in an open page why it hears nothing more, and ends its stream. The browser comes back now and then:
// somebody may have signed in again.
func (s *Site) deafen(w http.ResponseWriter, why string) {
	begin(w, 30*time.Second)
	s.bye(w, why)
}

// bye is the last that a stream says. The browser tries again every 30 seconds.
func (s *Site) bye(w http.ResponseWriter, why string) {
	_, _ = w.Write([]byte("retry: 30000\n"))
	_, _ = w.Write(liveFrame("lost", why+`: <a href="`+s.prefix+`/login">sign in</a>`))
	_ = http.NewResponseController(w).Flush()
}

// stream keeps one open page up to date.
func (s *Site) stream(w http.ResponseWriter, r *http.Request, p *page, v *visit) {
	if _, err := p.read(s, r.Context(), v.query, nil, nil); err != nil {
		s.fail(w, r, v, err)
		return
	}
	last := r.Header.Get("Last-Event-ID")
	if last == "" {
		last = r.URL.Query().Get("last")
	}
	after, err := strconv.ParseInt(last, 10, 64)
	if err != nil || after < 0 {
		after = 0 // then the whole end of the log is sent
	}
	rd, leave := s.hub.join(p, v.query, v.person, after)
	defer leave()
	begin(w, 2*time.Second)
	flush := http.NewResponseController(w).Flush
	if flush() != nil {
		return
	}
	beat, ask := time.NewTicker(beatEvery), time.NewTicker(askEvery)
	defer beat.Stop()
	defer ask.Stop()
	secret := s.secretOf(r)
	for {
		select {
		case <-r.Context().Done():
			return
		case <-rd.gone:
			for len(rd.out) > 0 { // what was said last, as that this is no longer on record
				if _, err := w.Write(<-rd.out); err != nil {
					return
				}
			}
			_ = flush()
			return
		case b := <-rd.out:
			if _, err := w.Write(b); err != nil || flush() != nil {
				return
			}
		case <-beat.C:
			if _, err := w.Write(event("at", []byte("1"), 0)); err != nil || flush() != nil {
				return
			}
		case <-ask.C:
			_, person, err := s.Access.Session(r.Context(), secret)
			switch {
			case err != nil && signedOut(err):
				s.bye(w, "signed out")
				return
			case err != nil: // the database is away; nothing is sent then
			case !person.Has(p.role):
				s.bye(w, "you may no longer see this")
				return
			case !sameSight(person, v.person):
				v.person = person
				s.hub.sees(rd, person)
			}
		}
	}
}

// sameSight reports whether two persons see the same pages, and may do the same there.
func sameSight(a, b access.Person) bool {
	return a.Name == b.Name && reflect.DeepEqual(a.Roles, b.Roles) && reflect.DeepEqual(a.Behind, b.Behind)
}
