package bot

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/loopback"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/post"
)

// Routes say where notices go beside the place where a run was asked.
type Routes []Route

// Route is one of them.
type Route struct {
	To      string           `yaml:"to" doc:"a channel or room of chat, as in #ops, an address of mail, as in ops@example.org (see mail), or a URL that is told by POST; one with a secret in it as \"${credential:hook}\""`
	Secret  clipboard.Secret `yaml:"secret" doc:"for a URL: signs what is told, so that the receiver knows that it is of this Jarvis; 16 characters or more, or whsec_BASE64"`
	CA      string           `yaml:"ca" path:"relative" doc:"for a URL: file of the CA that signed the receiver's certificate; empty: the system's"`
	Events  []string         `yaml:"events" doc:"what is told: kinds as failed, ready, proposed, silo_away, or classes of them: failures, people, warnings, news, all (docs/howto/notices.md)" default:"all"`
	Quiet   string           `yaml:"quiet" doc:"quiet hours, as in 22:00–07:00; what comes in them is told in one line at their end"`
	Loud    []string         `yaml:"loud" doc:"what is told in quiet hours all the same; [] for nothing" default:"failures"`
	Summary string           `yaml:"summary" doc:"a daily summary at that time, as in 08:00"`
	Zone    string           `yaml:"zone" doc:"time zone of quiet and summary, as in Europe/Berlin; empty: that of zone at the top"`
}

// Room is a channel or room of a chat network.
type Room struct {
	Frontend string // its Name
	Place    string
}

// RoomsOf lists those of a frontend.
func RoomsOf(f Frontend) (out []Room) {
	if r, ok := f.(Roomer); ok {
		for _, place := range r.Rooms() {
			out = append(out, Room{f.Name(), place})
		}
	}
	return out
}

// Frontends of rows that a postman carries; chat networks have a "/" in their names.
const (
	byHook = "webhook"
	byMail = "email"
)

// route is a Route as it is used.
type route struct {
	Room         // a frontend of byHook or byMail is no chat network
	shown string // what the log calls it
	kinds []pipeline.EventKind
	loud  []pipeline.EventKind
	quiet *hours
	daily *clock // nil: no summary
	zone  *time.Location
	via   post.Sender // nil: chat
}

func (r *route) wants(k pipeline.EventKind) bool { return slices.Contains(r.kinds, k) }

// quietFor gives the end of the quiet hours that keep a kind of notice back now.
func (r *route) quietFor(k pipeline.EventKind, now time.Time) (until time.Time, quiet bool) {
	until, quiet = r.quiet.at(now)
	return until, quiet && !slices.Contains(r.loud, k)
}

// Check says all that is wrong with them, below the key `notices`. complete is false when rooms may lack some.
func (list Routes) Check(rooms []Room, complete bool, mail post.MailConfig) error {
	_, err := list.resolve(rooms, complete, mail)
	return err
}

// resolve makes routes of what was written. What is wrong is left out of them.
func (list Routes) resolve(rooms []Room, complete bool, mail post.MailConfig) (out []route, err error) {
	var wrong mistake.List
	hooks := map[string]Route{}
	for i, c := range list {
		key := fmt.Sprintf("notices[%d]", i)
		before := len(wrong)
		r := c.times(&wrong, key)
		r.kinds = kindsOf(&wrong, key+".events", c.Events, "all")
		r.loud = kindsOf(&wrong, key+".loud", c.Loud, "failures")
		known := r.target(&wrong, key, c, rooms, complete, mail)
		if r.Frontend == byHook {
			if same, ok := hooks[r.Place]; ok && (same.Secret != c.Secret || same.CA != c.CA) {
				wrong.At(key+".secret", "or ca differs from that of another route to the same URL")
			}
			hooks[r.Place] = c
		} else if c.Secret != "" || c.CA != "" {
			wrong.At(key+".secret", "and ca are for a URL only")
		}
		if known && len(wrong) == before {
			out = append(out, r)
		}
	}
	return out, wrong.Err()
}

// times reads the hours of a route.
func (c Route) times(wrong *mistake.List, key string) (r route) {
	var err error
	if r.zone, err = time.LoadLocation(c.Zone); err != nil || c.Zone == "Local" {
		wrong.At(key+".zone", "is %q; it must be a time zone that this machine knows, as in Europe/Berlin", c.Zone)
		r.zone = time.UTC
	}
	if c.Quiet != "" {
		if r.quiet, err = parseHours(c.Quiet, r.zone); err != nil {
			wrong.At(key+".quiet", "is %q; %v", c.Quiet, err)
		}
	} else if len(c.Loud) > 0 {
		wrong.At(key+".loud", "is set, but quiet is not")
	}
	if c.Summary != "" {
		at, err := parseClock(c.Summary)
		if err != nil {
			wrong.At(key+".summary", ": %v", err)
		}
		r.daily = &at
	}
	return r
}

// kindsOf gives the kinds that a list of words means; of one that is not there, those of otherwise.
func kindsOf(wrong *mistake.List, key string, words []string, otherwise string) (out []pipeline.EventKind) {
	if words == nil {
		words = []string{otherwise}
	}
	for i, w := range words {
		kinds := pipeline.NoticesOf(w)
		if kinds == nil {
			var all []string
			for _, c := range pipeline.Classes() {
				all = append(all, c.Name)
			}
			for _, k := range pipeline.Notices {
				all = append(all, string(k))
			}
			wrong.At(fmt.Sprintf("%s[%d]", key, i), "is %q; there are %s", w, strings.Join(all, ", "))
		}
		out = append(out, kinds...)
	}
	return out
}

// target finds where a route goes. known is false for a room of which nobody can tell whether it is there.
func (r *route) target(wrong *mistake.List, key string, c Route, rooms []Room, complete bool, mail post.MailConfig) (known bool) {
	r.shown = c.To
	if strings.Contains(c.To, "://") {
		r.hook(wrong, key, c)
		return true
	}
	var found []Room
	for _, x := range rooms {
		if strings.EqualFold(x.Place, c.To) || x.Frontend+" "+x.Place == c.To {
			found = append(found, x)
		}
	}
	addr, isMail := post.Address(c.To)
	switch {
	case len(found) > 1:
		wrong.At(key+".to", "is %q, which is in %s and in %s; write it as %q", c.To, found[0].Frontend, found[1].Frontend, found[0].Frontend+" "+found[0].Place)
	case len(found) == 1:
		r.Room = found[0]
	case isMail && !slices.ContainsFunc(rooms, func(x Room) bool { return domain(x.Place) == domain(addr) }):
		r.Room = Room{byMail, addr}
		if mail.Server == "" {
			wrong.At(key+".to", "is an address of mail, and mail.server is not set")
			break
		}
		m, err := mail.To(addr)
		if err != nil {
			return false // it is told of mail itself
		}
		r.via = m
	case c.To == "":
		wrong.At(key, "has no to: a channel or room of chat, an address of mail, or a URL")
	case !complete:
		return false
	default:
		var names []string
		for _, x := range rooms {
			names = append(names, x.Place)
		}
		there := "chat has none"
		if len(names) > 0 {
			there = "there are " + strings.Join(names, ", ")
		}
		wrong.At(key+".to", "is %q, which is no channel or room of chat (%s), no address of mail and no URL", c.To, there)
	}
	return true
}

// hook makes a route go to a URL. What is stored and logged of that is its host, with what tells it from others of that
// host.
func (r *route) hook(wrong *mistake.List, key string, c Route) {
	h, err := post.NewHook(c.To, c.Secret, c.CA)
	for _, o := range mistake.All(err, "") {
		wrong.At(key+"."+o.Key, "%s", o.Msg)
	}
	r.via = h
	u, err := url.Parse(c.To)
	if err != nil {
		return
	}
	if u.Scheme == "http" && !loopback.Is(u.Hostname()) {
		wrong.At(key+".to", "is a URL without https; whoever is on the way could read what is told")
	}
	sum := sha256.Sum256([]byte(c.To))
	r.Room = Room{byHook, u.Host + " " + hex.EncodeToString(sum[:4])}
	r.shown = cmp.Or(u.Hostname(), "a URL")
}

// domain is what follows the last @, in small letters; "" without one.
func domain(address string) string {
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		return strings.ToLower(address[i+1:])
	}
	return ""
}

// CheckRoutes says whether SetRoutes would take routes, and changes nothing.
func (b *Bot) CheckRoutes(list Routes, mail post.MailConfig) error {
	_, err := b.notices.resolved(list, false, mail)
	return err
}
