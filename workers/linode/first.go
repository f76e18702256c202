package linode

import "github.com/jarvisops/jarvis/provider"

// First is provider.Settings.
func (Config) First() provider.First {
	return provider.First{
		Ask:   []provider.Question{{Key: "token", Text: "Linode's personal access token", Secret: true}},
		Entry: func(text, _ func(string) string) string { return "{token: " + text("token") + "}" },
	}
}
