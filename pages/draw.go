package pages

import (
	"bytes"
	"context"
	"reflect"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/access"
)

// drawView sends old readers what differs, and fresh ones everything. What is drawn for a person is drawn once for all
// who may see the same.
func (h *hub) drawView(ctx context.Context, t *topic, next view, old, fresh []readerNow) error {
	d := &drawing{h: h, t: t, next: next, common: next.parts(), made: map[string][]drawn{}, owns: map[string]map[string]drawn{}}
	d.ownOf = func(p access.Person) []part { return append(next.own(p), h.s.nav(ctx, t.page, p)) }
	if err := d.toOld(old); err != nil {
		return err
	}
	if err := d.toFresh(fresh); err != nil {
		return err
	}
	for _, r := range old {
		h.mu.Lock()
		r.reader.after = max(r.reader.after, next.at())
		h.mu.Unlock()
	}
	for _, o := range d.owns {
		delete(o, "")
	}
	t.owns = d.owns // sights that nobody has any more are forgotten
	return nil
}

// drawing is a view of a topic on its way to the readers.
type drawing struct {
	h      *hub
	t      *topic
	next   view
	common []part                      // what all see
	ownOf  func(access.Person) []part  // what a person sees beside
	made   map[string][]drawn          // what was rendered of this view, by part
	owns   map[string]map[string]drawn // by sight and part; at "" is what differs
}

// title is the page's own, before the installation's name.
func (d *drawing) title() []byte {
	return event("title", []byte(d.next.title()+" — "+d.h.s.Name), 0)
}

// own gives the parts of a person as they are drawn now, and as events those that differ from what was sent.
func (d *drawing) own(p access.Person) (parts map[string]drawn, differ []byte, err error) {
	sight := sightOf(p)
	if d.owns[sight] == nil {
		d.owns[sight] = d.t.owns[sight]
		if d.owns[sight] == nil {
			d.owns[sight] = map[string]drawn{}
		}
		b, err := d.h.differing(d.owns[sight], d.ownOf(p), d.made)
		if err != nil {
			return nil, nil, err
		}
		d.owns[sight][""] = drawn{html: b} // for all who see the same
	}
	return d.owns[sight], d.owns[sight][""].html, nil
}

// toOld sends what differs to whoever has the view before.
func (d *drawing) toOld(readers []readerNow) error {
	differs, err := d.h.differing(d.t.drawn, d.common, d.made)
	if err != nil {
		return err
	}
	var retitled, lines []byte
	if d.t.view == nil || d.t.view.title() != d.next.title() {
		retitled = d.title()
	}
	if news, ok := d.next.(logged); ok {
		if lines, err = d.h.s.renderLines(news.fresh()); err != nil {
			return err
		}
	}
	said := ""
	if sayer, ok := d.next.(interface{ say(was view) string }); ok && d.t.view != nil {
		said = sayer.say(d.t.view)
	}
	for _, r := range readers {
		_, mine, err := d.own(r.person)
		if err != nil {
			return err
		}
		var f bytes.Buffer
		f.Write(retitled)
		f.Write(differs)
		f.Write(mine)
		if said != "" {
			f.Write(event("say", []byte(said), 0))
		}
		if len(lines) > 0 {
			f.Write(event("log", lines, 0))
		}
		if f.Len() > 0 {
			f.Write(event("at", []byte("1"), d.next.at()))
			r.send(f.Bytes())
		}
	}
	return nil
}

// toFresh sends everything to whoever has nothing yet, or nobody knows what. It goes after toOld, which draws what all
// see.
func (d *drawing) toFresh(readers []readerNow) error {
	for _, r := range readers {
		mine, _, err := d.own(r.person)
		if err != nil {
			return err
		}
		var f bytes.Buffer
		f.Write(d.title())
		for _, p := range d.common {
			f.Write(event("part", d.t.drawn[p.id].html, 0))
		}
		for _, p := range d.ownOf(r.person) {
			f.Write(event("part", mine[p.id].html, 0))
		}
		if err := d.log(&f, r.after); err != nil {
			return err
		}
		f.Write(liveFrame("on", "live"))
		f.Write(event("at", []byte("1"), d.next.at()))
		d.h.mu.Lock()
		r.reader.after = d.next.at() // should the reader be sent everything again, these lines are there
		d.h.mu.Unlock()
		r.send(f.Bytes())
	}
	return nil
}

// log writes the lines after an event, of a view that has a log.
func (d *drawing) log(f *bytes.Buffer, after int64) error {
	news, ok := d.next.(logged)
	if !ok {
		return nil
	}
	missed, whole := news.since(after)
	b, err := d.h.s.renderLines(missed)
	if err != nil {
		return err
	}
	switch {
	case whole:
		if b, err = d.h.s.render(part{"lines", "lines", missed}); err != nil {
			return err
		}
		f.Write(event("part", b, 0))
	case len(b) > 0:
		f.Write(event("log", b, 0))
	}
	return nil
}

// renderLines makes lines of a log.
func (s *Site) renderLines(list []line) ([]byte, error) {
	var out []byte
	for _, l := range list {
		b, err := s.render(part{template: "log-line", data: l})
		if err != nil {
			return nil, err
		}
		out = append(out, b...)
	}
	return out, nil
}

// differing renders the parts whose data is not what it was, notes them, and gives them as events: each by itself, for
// a browser drops a <tr> that follows a <div>. made has what was rendered of the same view for others already.
func (h *hub) differing(was map[string]drawn, list []part, made map[string][]drawn) ([]byte, error) {
	var out []byte
	for _, p := range list {
		if d, ok := was[p.id]; ok && reflect.DeepEqual(d.data, p.data) {
			continue
		}
		i := slices.IndexFunc(made[p.id], func(d drawn) bool { return reflect.DeepEqual(d.data, p.data) })
		if i < 0 {
			b, err := h.s.render(p)
			if err != nil {
				return nil, err
			}
			i = len(made[p.id])
			made[p.id] = append(made[p.id], drawn{p.data, b})
		}
		was[p.id] = made[p.id][i]
		out = append(out, event("part", was[p.id].html, 0)...)
	}
	return out, nil
}

// sightOf says which people see the same.
func sightOf(p access.Person) string {
	return strings.Join([]string{p.Name, strings.Join(p.Roles, ","), strings.Join(p.Behind, ",")}, "|")
}

// logged is a view with a log.
type logged interface {
	// fresh gives the lines that have come since the view before this one.
	fresh() []line
	// since gives the lines after an event; whole says that there are too many, and these are the last.
	since(event int64) (list []line, whole bool)
}
