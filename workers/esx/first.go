package esx

import (
	"fmt"
	"strconv"

	"github.com/jarvisops/jarvis/provider"
)

// First is provider.Settings.
func (Config) First() provider.First {
	return provider.First{
		Ask: []provider.Question{
			{Key: "host", Text: "vCenter's host name", Usual: "vcenter.example.org"},
			{Key: "user", Text: "User there", Usual: "jarvis"},
			{Key: "password", Text: "Its password", Secret: true},
			{Key: "template", Text: "Template that is cloned"},
		},
		Entry: func(text, bare func(string) string) string {
			return fmt.Sprintf("{url: %s, template: %s}", strconv.Quote("https://"+bare("user")+":"+bare("password")+"@"+bare("host")+"/sdk"), text("template"))
		},
	}
}
