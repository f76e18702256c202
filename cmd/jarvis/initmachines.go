package main

import (
	"strconv"
	"strings"

	"github.com/jarvisops/jarvis/workers/all"
)

// machineQuestions ask about every provider of machines that there is.
func machineQuestions() []question {
	out := []question{{key: "machines", text: "Where machines are made: " + strings.Join(all.Providers(), ", ") + ", or none; several with commas", usual: "none"}}
	for _, m := range all.Providers() {
		first, _ := all.First(m)
		for _, q := range first.Ask {
			out = append(out, question{key: m + "_" + q.Key, text: q.Text, usual: q.Usual, secret: q.Secret, when: with("machines", m)})
		}
	}
	return out
}

// machine writes the entry of a provider.
func (a answers) machine(module string) string {
	first, known := all.First(module)
	if !known {
		return strconv.Quote(module) + ": {}" // told as the mistake it is
	}
	secret := map[string]bool{}
	for _, q := range first.Ask {
		secret[q.Key] = q.Secret
	}
	bare := func(key string) string {
		if secret[key] {
			return credential(module + "_" + key)
		}
		return plainDollars(a[module+"_"+key])
	}
	text := func(key string) string {
		if secret[key] {
			return cred(module + "_" + key)
		}
		return quoted(a[module+"_"+key])
	}
	return module + ": " + first.Entry(text, bare)
}
