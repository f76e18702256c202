package slack

import "github.com/jarvisops/jarvis/bot"

// First is bot.Settings.
func (Config) First(string) bot.First {
	return bot.First{
		Entry: []bot.Question{
			{Key: "app_token", Text: "App-level token of the Slack app, xapp-…", Secret: true, Path: "app_token"},
			{Key: "bot_token", Text: "Bot token of the Slack app, xoxb-…", Secret: true, Path: "bot_token"},
			{Key: "channel", Text: "Slack channel", Usual: "#ops", Path: "channels[]"},
		},
		Person: "Your user id on Slack, as in U012AB3CD: \"Copy member ID\" in your profile (empty: none)",
	}
}
