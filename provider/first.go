package provider

// First is how the first entry of a provider comes into a configuration: what `jarvis init` asks, and what it writes.
type First struct {
	Ask []Question // in this order
	// Entry writes the entry as YAML, in one line. text gives an answer by its question's Key as YAML, and bare as a
	// part of a text that is quoted here; of a secret both name its credential.
	Entry func(text, bare func(key string) string) string
}

// Question is one of `jarvis init`. With the provider's module and "_" before it, Key is that of the answer, and for a
// secret the name of its credential.
type Question struct {
	Key, Text, Usual string
	Secret           bool
}

// Settings are what an entry of the configuration says of a provider: the Config of its package.
type Settings interface {
	// First is asked of the zero Config.
	First() First
}
