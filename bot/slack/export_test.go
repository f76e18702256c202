package slack

import "time"

// Silent sets how long a socket may be silent, Age how old a message may be, Pause how long it is until refused tokens
// are tried again, and Look how often it is asked where the bot is.
func (f *Frontend) Silent(d time.Duration) { f.ping = d }
func (f *Frontend) Age(d time.Duration)    { f.age = d }
func (f *Frontend) Pause(d time.Duration)  { f.pause = d }
func (f *Frontend) Look(d time.Duration)   { f.look = d }

// ReadText and Escape are the doors of texts.
func ReadText(text, me string) string {
	return read(text, func(id string) string {
		if id == me {
			return "jarvis"
		}
		return ""
	})
}

var (
	Escape    = escape
	Formatted = formatted
	Posts     = posts
	Secure    = secure
)

// MaxPost is how long a post may be.
const MaxPost = maxPostBytes

// ReadEvent reads payloads as the hearer does.
func ReadEvent(payload []byte) (key string, ok bool) {
	x, ok := readEvent(payload)
	y, pressed := readPress(payload)
	if pressed {
		return y.key, true
	}
	return x.key, ok
}
