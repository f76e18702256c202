package main

import (
	"fmt"
	"strings"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/config"
)

// words are what an answer lists, with commas or spaces.
func words(answer string) []string {
	return strings.FieldsFunc(answer, func(r rune) bool { return r == ',' || r == ' ' })
}

// chatQuestions ask about every network that there is (config.Chat), and by what the first person is known there.
func chatQuestions() (chat, people []question) {
	networks := config.Networks()
	chat = []question{{key: "chat", text: "Chat networks: " + strings.Join(networks, ", ") + ", or none; several with commas", usual: "none"}}
	for _, n := range networks {
		here := with("chat", n)
		first, _ := config.First(n, "")
		for _, q := range first.Entry {
			if q.Key == "" {
				continue
			}
			when := here
			if q.After != "" {
				when = with(n + "_" + q.After)
			}
			chat = append(chat, question{key: n + "_" + q.Key, text: q.Text, usual: q.Usual, secret: q.Secret, when: when})
		}
		people = append(people, question{key: "person_" + n, text: first.Person, when: here})
	}
	return chat, people
}

// chat writes the entries of chat.
func (a answers) chat() string {
	var b strings.Builder
	for _, n := range words(a["chat"]) {
		first, known := config.First(n, a["name"])
		if !known {
			n = quoted(n) // told as the mistake it is
		}
		if b.Len() == 0 {
			b.WriteString("chat:\n")
		}
		fmt.Fprintf(&b, "  - %s: {%s}\n", n, a.entry(n+"_", first.Entry, ""))
	}
	return b.String()
}

// entry writes what stands below a path: "" for all, else as "sasl.".
func (a answers) entry(prefix string, list []bot.Question, below string) string {
	var parts []string
	seen := map[string]bool{}
	for _, q := range list {
		rest, here := strings.CutPrefix(q.Path, below)
		value := a.value(prefix, q)
		if !here || value == "" {
			continue
		}
		name, _, deeper := strings.Cut(rest, ".")
		name, isList := strings.CutSuffix(name, "[]")
		switch {
		case deeper && seen[name]:
			continue
		case deeper:
			seen[name], value = true, "{"+a.entry(prefix, list, below+name+".")+"}"
		case isList:
			value = "[" + value + "]"
		}
		parts = append(parts, name+": "+value)
	}
	return strings.Join(parts, ", ")
}

// value is what is written for a question; "" when it has no answer.
func (a answers) value(prefix string, q bot.Question) string {
	if q.Key == "" {
		if s, ok := q.Fixed.(string); ok {
			return quoted(s)
		}
		return fmt.Sprint(q.Fixed)
	}
	answer := a[prefix+q.Key]
	switch {
	case answer == "":
		return ""
	case q.Secret:
		return cred(prefix + q.Key)
	}
	return quoted(answer)
}
