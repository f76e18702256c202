package bot

import (
	"cmp"
	"context"
	"log/slog"

	"github.com/jarvisops/jarvis/access"
)

// Message is what somebody said at once. A command is one line: of several, the bot takes the first only.
type Message struct {
	Nick    string // what they are called there
	Account string // proven by the server; "" when it is not
	Host    string // where they come from, as the server tells; "": it does not. Many nicks of one host are one stranger
	Place   string // channel or room; for a private message, where to answer it
	Direct  string // where they can be told something in private; "": their nick
	Private bool
	Room    string // where Place is a thread, its room: strangers are counted by that, for threads cost nothing; "": Place
	Text    string // as it was said: cleaned by the frontend, its lines would run together before the bot can tell them apart
	// Corrected says that it replaces an earlier message (XEP-0308), which may have been acted on.
	Corrected bool
	// Encrypted says that Text only tells that the message itself is encrypted, in a way that the bot does not read.
	Encrypted bool
	// Past is not 0 for what was said while we did not listen: the number of the connection on which it was played to
	// us.
	Past int64
	// Choice is where the button stands by which it was said; zero: it was written.
	Choice Post

	more     bool // it had more lines than the one that Text now is
	stranger bool // nobody in the configuration
	last     bool // a stranger's last answer for a while
}

// direct gives where to tell the sender something in private, also when they spoke in a channel.
func (m Message) direct() string {
	if m.Private {
		return cmp.Or(m.Direct, m.Place)
	}
	return cmp.Or(m.Direct, m.Nick)
}

// Frontend is one chat network.
type Frontend interface {
	// Name is unique and the same after a restart: notices wait under it. "irc/irc.example.org", "console".
	Name() string
	// Network is the kind of identity that the frontend vouches for: "irc", "xmpp", "console".
	Network() string
	// Nick is what the bot is called there now.
	Nick() string
	// Run connects, hands every message to in, and reconnects until ctx ends. in never blocks.
	Run(ctx context.Context, in func(Message)) error
	// Say queues lines for a place. They may be lost when the connection breaks: whoever asked will ask again.
	Say(place string, lines []string)
	// Deliver says a notice and returns nil only when the server took it.
	Deliver(ctx context.Context, n Notice) error
}

// Notice is a line that nobody asked for just now, and that must arrive.
type Notice struct {
	// ID is that of its row. What is tried again has the same, whatever it says; another notice of the same words has
	// another. 0: it has no row, and is not known again.
	ID    int64
	Place string
	Line  string
	// Choices stand as buttons under the line, where the Frontend is a Chooser.
	Choices Choices
}

// Settings are what the configuration says of one chat network: the Config of its package.
type Settings interface {
	// Open makes the frontend, for a bot of that name; the error says all that is wrong, by keys below "chat.NETWORK".
	Open(name string, log *slog.Logger) (Frontend, error)
	// Beside gives settings under which the bot can come while it is there already, to try them.
	Beside(name string) Settings
	// First is what `jarvis init` asks to write such settings, for a bot of that name. It is asked of the zero Config.
	First(name string) First
}

// Nicked is a Frontend that knows what nick the configuration gives it. Of two bots in one channel, one with a nick of
// its own and both without a name, only one is meant by "jarvis:".
type Nicked interface {
	ConfiguredNick() string
}

// Prover is a Frontend where a place in private is a name that anybody may have by now, as a nick. It asks the server
// who has it.
type Prover interface {
	// Holder gives who has a place now. ok is false when the server does not tell, and for what is no person's.
	Holder(ctx context.Context, place string) (id access.Identity, ok bool)
}

// Insider is a Roomer that knows in which of its rooms it is: a link to a server is not worth much without them.
type Insider interface {
	Inside(room string) bool
}

// Latecomer is a Frontend that can have lines for people whom nobody knows wait until all others are said. It drops
// them when they are too many, and when the connection breaks.
type Latecomer interface {
	SayLater(place string, lines []string)
}

// Multiliner is a Frontend whose messages may have several lines.
type Multiliner interface{ Multiline() bool }

// LinkChecker is a Frontend that can say whether it has a link, for metrics.
type LinkChecker interface{ Up() bool }

// Roomer is a Frontend with channels or rooms. What is said to everybody goes to the first.
type Roomer interface{ Rooms() []string }

// Threader is a Roomer whose places may be threads. RoomOf gives the room of one, and any other place as it is.
type Threader interface{ RoomOf(place string) string }

// Choice is what somebody may say by a button: what stands on it, and the words.
type Choice struct{ Label, Words string }

// Choices are what may be said by buttons under one line.
type Choices struct {
	List []Choice
	// Shown is told where they stand as soon as they do; it may be nil.
	Shown func(Post)
}

// Post is a line with buttons, or one that is to be changed, as its Chooser or Editor knows it: At is like no other
// there, and means the same after a restart.
type Post struct{ At, Text string }

// Chooser is a Frontend that can show buttons under a line. A press comes as a Message of who pressed, with the
// button's words and a Choice of its own; that person's rights count, whatever was pressed.
type Chooser interface {
	// SayChoices is Say, with buttons under the last line.
	SayChoices(place string, lines []string, choices Choices)
	// Settle takes the buttons of a post away, and has it end with how it was decided; "": with nothing more. It may be
	// done again. The error wraps ErrRefused when it will never be done, as for a post that somebody deleted.
	Settle(ctx context.Context, p Post, how string) error
}
