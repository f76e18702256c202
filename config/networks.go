package config

import (
	"fmt"
	"reflect"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/bot/irc"
	"github.com/jarvisops/jarvis/bot/matrix"
	"github.com/jarvisops/jarvis/bot/slack"
	"github.com/jarvisops/jarvis/bot/xmpp"
)

// A chat network has its Config in a field of Chat, and its Account in a field of Person, under the same key. Nothing
// else outside of its own folder names it.

// Chat is one entry of chat: exactly one of its keys.
type Chat struct {
	IRC    *irc.Config    `yaml:"irc" doc:"an IRC server"`
	XMPP   *xmpp.Config   `yaml:"xmpp" doc:"a Jabber account"`
	Matrix *matrix.Config `yaml:"matrix" doc:"a Matrix account"`
	Slack  *slack.Config  `yaml:"slack" doc:"an app in a workspace of Slack"`
}

// Person is one of `people`.
type Person struct {
	Name   string         `yaml:"name" doc:"how the record names this person"`
	IRC    irc.Account    `yaml:"irc" doc:"services account on IRC; nick:NAME trusts the bare nick"`
	XMPP   xmpp.Account   `yaml:"xmpp" doc:"bare JID"`
	Matrix matrix.Account `yaml:"matrix" doc:"full user id on Matrix, as in @alice:example.org"`
	Slack  slack.Account  `yaml:"slack" doc:"user id on Slack, as in U012AB3CD; never a name"`
	Local  string         `yaml:"local" doc:"login name on this machine, for the command line"`
	OIDC   string         `yaml:"oidc" doc:"value of http.oidc.claim, as in the sub that the provider gives him; exactly, never an address"`
	Roles  []string       `yaml:"roles" doc:"view, deploy, run, admin"`
}

// Networks lists the keys of Chat.
func Networks() []string {
	var out []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Chat]()) {
		out = append(out, tag(f))
	}
	return out
}

// First gives what `jarvis init` asks about a network, for a bot of that name; ok is false when there is no such
// network.
func First(network, name string) (f bot.First, ok bool) {
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Chat]()) {
		if tag(field) == network {
			return reflect.Zero(field.Type.Elem()).Interface().(bot.Settings).First(name), true
		}
	}
	return bot.First{}, false
}

// named gives the settings of each network that the entry names.
func (ch Chat) named() map[string]bot.Settings {
	out := map[string]bot.Settings{}
	v := reflect.ValueOf(ch)
	for i, name := range Networks() {
		if f := v.Field(i); !f.IsNil() {
			out[name] = f.Elem().Interface().(bot.Settings)
		}
	}
	return out
}

// Network gives the key of the one network that the entry names.
func (ch Chat) Network() string {
	for name := range ch.named() {
		return name
	}
	return ""
}

// Settings gives what the entry says of its network; nil when it names none.
func (ch Chat) Settings() bot.Settings { return ch.named()[ch.Network()] }

// accounts lists by what a person is known on chat networks, as far as it is written.
func (p Person) accounts() []access.Account {
	var out []access.Account
	v := reflect.ValueOf(p)
	for i := range v.NumField() {
		if a, ok := v.Field(i).Interface().(access.Account); ok && !v.Field(i).IsZero() {
			out = append(out, a)
		}
	}
	return out
}

// Persons gives the people as access takes them.
func (c *Config) Persons() []access.PersonConfig {
	var out []access.PersonConfig
	for _, p := range c.People {
		out = append(out, access.PersonConfig{Name: p.Name, Chat: p.accounts(), Local: p.Local, OIDC: p.OIDC, Roles: p.Roles})
	}
	return out
}

// each puts every word into a form, which has one %s.
func each(words []string, form string) []string {
	var out []string
	for _, w := range words {
		out = append(out, fmt.Sprintf(form, w))
	}
	return out
}
