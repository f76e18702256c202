package irc

import "github.com/jarvisops/jarvis/bot"

// First is bot.Settings.
func (Config) First(name string) bot.First {
	return bot.First{
		Entry: []bot.Question{
			{Key: "server", Text: "IRC server with TLS, host:port", Usual: "irc.example.org:6697", Path: "server"},
			{Path: "tls", Fixed: true},
			{Path: "nick", Fixed: name},
			{Key: "channel", Text: "IRC channel", Usual: "#ops", Path: "channels[]"},
			{Key: "account", Text: "Services account of the bot (empty: none)", Path: "sasl.user"},
			{Key: "password", Text: "Its password", Secret: true, After: "account", Path: "sasl.password"},
		},
		Person: "Your services account on IRC (nick:NAME where there are no accounts; empty: none)",
	}
}
