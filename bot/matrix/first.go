package matrix

import "github.com/jarvisops/jarvis/bot"

// First is bot.Settings.
func (Config) First(string) bot.First {
	return bot.First{
		Entry: []bot.Question{
			{Key: "homeserver", Text: "Address of the Matrix homeserver's client API", Usual: "https://matrix.example.org", Path: "homeserver"},
			{Key: "user", Text: "Full user id of the bot", Usual: "@jarvis:example.org", Path: "user"},
			{Key: "password", Text: "Its password", Secret: true, Path: "password"},
			{Key: "room", Text: "Room, by alias or id", Usual: "#ops:example.org", Path: "rooms[]"},
		},
		Person: "Your full user id on Matrix, as in @alice:example.org (empty: none)",
	}
}
