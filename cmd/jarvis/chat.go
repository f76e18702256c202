package main

import (
	"math"

	"github.com/jarvisops/jarvis/bot"
)

// measureChat has the metrics tell of a frontend's link, and of each of its rooms.
func (a *app) measureChat(b *bot.Bot, f bot.Frontend) {
	gauge := func(name, help string, labels map[string]string, is func() bool) {
		a.metrics.Gauge(name, help+"; NaN when another node is the one that speaks there.", labels, func() float64 {
			switch {
			case is():
				return 1
			case a.db.Shared() && !b.Speaks(f.Name()):
				return math.NaN()
			}
			return 0
		})
	}
	if l, ok := f.(bot.LinkChecker); ok {
		gauge("jarvis_chat_up", "1 when the bot has a link to this chat server, 0 when it has none", map[string]string{"frontend": f.Name()}, l.Up)
	}
	rooms, ok := f.(bot.Roomer)
	in, knows := f.(bot.Insider)
	if !ok || !knows {
		return
	}
	for _, room := range rooms.Rooms() {
		gauge("jarvis_chat_room_up", "1 when the bot is in this channel or room, 0 when it is not", map[string]string{"frontend": f.Name(), "room": room}, func() bool { return in.Inside(room) })
	}
}
