package bot

// First is how the first settings of a chat network come to be: what is asked, and where the answers are written.
type First struct {
	Entry  []Question // in the order in which they are asked, and written
	Person string     // asks for the account of whom the configuration names first; it may stay empty
}

// Question is one of `jarvis init`, and where its answer stands in the settings.
type Question struct {
	Key    string // with "NETWORK_" before it, of the answer; a secret's is the name of its credential. "" asks nothing
	Text   string // as somebody reads it, without a colon
	Usual  string // the answer when none is given
	Secret bool
	After  string // the Key of a question without whose answer this one is not asked

	Path  string // as "server", or "sasl.user"; with "[]" at its end the answer is the one entry of a list
	Fixed any    // what is written for "" as Key: a bool or a string
}
