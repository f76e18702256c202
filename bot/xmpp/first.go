package xmpp

import "github.com/jarvisops/jarvis/bot"

// First is bot.Settings.
func (Config) First(string) bot.First {
	return bot.First{
		Entry: []bot.Question{
			{Key: "jid", Text: "Jabber address of the bot", Usual: "jarvis@example.org", Path: "jid"},
			{Key: "password", Text: "Its password", Secret: true, Path: "password"},
			{Key: "room", Text: "Room", Usual: "ops@conference.example.org", Path: "rooms[]"},
		},
		Person: "Your Jabber address (empty: none)",
	}
}
