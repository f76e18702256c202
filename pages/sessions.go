package pages

import (
	"context"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
)

// sessionsPage is where somebody sees where they are signed in. It is their own, so it is read for them, and is not
// live.
func sessionsPage() *page {
	return &page{path: "/sessions", file: "sessions.html", role: access.View, still: true,
		read: func(s *Site, ctx context.Context, _ query, _ view, _ []pipeline.Event) (view, error) {
			last, err := s.Engine.LastEvent(ctx)
			return &sessionsView{s, last}, err
		}}
}

type sessionsView struct {
	s     *Site
	event int64
}

func (v *sessionsView) title() string { return "where you are signed in" }
func (v *sessionsView) at() int64     { return v.event }
func (v *sessionsView) parts() []part { return nil }

// own reads the sessions each time: they are nobody else's, so nothing of them is kept.
func (v *sessionsView) own(p access.Person) []part {
	list, err := v.s.Access.Sessions(context.Background(), p.Name)
	if err != nil {
		v.s.Log.Error("list sessions", "err", err)
	}
	return []part{{"sessions", "sessions", list}}
}
