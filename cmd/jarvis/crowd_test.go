package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab"
	"github.com/jarvisops/jarvis/lab/real"
)

// crowd is how many people talk at once, on several networks.
type crowd struct {
	rooms, each int // of each network; people of each room
	asks        int
	pause       time.Duration // of a person between an answer and the next question; 0: none
	strangers   int           // of each network, who flood in private
	flood       time.Duration // between two lines of one of them
	matrix      bool          // there too
}

// talker is one of them.
type talker struct {
	name, room string
	answer     string // what the line begins with that answers him
	say        func(place, text string)
	next       func(pattern string, limit time.Duration) (string, error)
	count      func(pattern string) int
	slow       int // by how much they are slower than others; 0: not
}

// told is what became of a crowd.
type told struct {
	took        map[string][]time.Duration // by network
	lost, twice int
	flooded     int // lines of strangers
	all         time.Duration
}

// BenchmarkCrowd is 200 people in 20 rooms, a fourth each on IRC, Jabber, Matrix and Slack, while 20 strangers flood in
// private. Nobody's line may be lost, and none is answered twice. Those on Matrix ask a sixth as often, and are not
// there when all ask as fast as they can: 50 of them, each four seconds, took 1.3 of two cores in Dendrite, beside 0.25
// in the bot and all its other people together, and Dendrite itself took 2.7 s then (p99) to take a question.
func BenchmarkCrowd(b *testing.B) {
	c := crowd{rooms: 5, each: 10, asks: 12, strangers: 5, flood: 50 * time.Millisecond}
	if testing.Short() { // CI runs each benchmark so that none can rot
		c.rooms, c.each, c.asks, c.strangers = 1, 3, 3, 1
	}
	for _, p := range []struct {
		name  string
		pause time.Duration
	}{{"a_question_each_four_seconds", 4 * time.Second}, {"as_fast_as_they_can", 0}} {
		c.pause, c.matrix = p.pause, p.pause > 0
		b.Run(p.name, func(b *testing.B) {
			for b.Loop() {
				got := c.talk(b)
				if got.lost+got.twice > 0 {
					b.Errorf("%d answers were lost, and %d too many", got.lost, got.twice)
				}
				var all []time.Duration
				for network, took := range got.took {
					slices.Sort(took)
					all = append(all, took...)
					if len(took) > 0 {
						b.ReportMetric(float64(took[len(took)*99/100].Milliseconds()), "p99-ms-"+network)
					}
				}
				slices.Sort(all)
				b.ReportMetric(float64(all[len(all)/2].Milliseconds()), "p50-ms")
				b.ReportMetric(float64(all[len(all)*99/100].Milliseconds()), "p99-ms")
				b.ReportMetric(float64(len(all))/got.all.Seconds(), "answers/s")
				b.ReportMetric(float64(got.flooded)/got.all.Seconds(), "flood-lines/s")
			}
		})
	}
}

// TestTheCrowdIsAnsweredOnce: on all networks at once, while strangers flood, each question has one answer.
func TestTheCrowdIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	got := crowd{rooms: 2, each: 4, asks: 5, strangers: 2, flood: 50 * time.Millisecond, matrix: true}.talk(t)
	if got.lost+got.twice > 0 || got.flooded == 0 {
		t.Errorf("%d answers were lost, and %d too many; strangers said %d lines", got.lost, got.twice, got.flooded)
	}
}

// talk has them all talk.
func (c crowd) talk(t testing.TB) told {
	t.Helper()
	s := newCrowdSite(t, c)
	var mu sync.Mutex
	got := told{took: map[string][]time.Duration{}}
	ctx, cancel := context.WithCancel(t.Context())
	var strangers, people sync.WaitGroup
	for _, x := range s.strangers {
		strangers.Go(func() {
			tick := time.NewTicker(c.flood * time.Duration(max(1, x.slow)))
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-ctx.Done():
					mu.Lock()
					got.flooded += n
					mu.Unlock()
					return
				case <-tick.C:
					x.say(x.room, "status")
				}
			}
		})
	}
	began := time.Now()
	for i, p := range s.people {
		people.Go(func() {
			pause, asks := c.pause, c.asks
			if pause > 0 {
				pause, asks = pause*time.Duration(max(1, p.slow)), max(1, asks/max(1, p.slow))
			}
			of := c.rooms * c.each // of each network
			time.Sleep(pause * time.Duration(i%of) / time.Duration(of))
			for range asks {
				at := time.Now()
				p.say(p.room, "jarvis: status")
				_, err := p.next(p.answer+p.name+": nothing is under way", 30*time.Second)
				took := time.Since(at)
				mu.Lock()
				if err == nil {
					got.took[p.name[:1]] = append(got.took[p.name[:1]], took)
				} else if got.lost++; got.lost < 4 {
					t.Log(err)
				}
				mu.Unlock()
				time.Sleep(max(0, pause-took))
			}
		})
	}
	people.Wait()
	got.all = time.Since(began)
	cancel()
	strangers.Wait()
	for _, p := range s.people { // one more question, behind all others
		p.say(p.room, "jarvis: whoami")
		if _, err := p.next(p.answer+p.name+": you are ", 30*time.Second); err != nil {
			t.Error(err)
		}
		got.twice += max(0, p.count(p.answer+p.name+": nothing is under way")-c.asks)
	}
	return got
}

// crowdSite is the servers with a bot, and those who talk there.
type crowdSite struct {
	crowd
	irc               *real.IRCd
	jabber            *real.Prosody
	matrix            *real.Dendrite
	slack             *lab.Slack
	people, strangers []talker
}

func newCrowdSite(t testing.TB, c crowd) *crowdSite {
	t.Helper()
	s := &crowdSite{crowd: c}
	var jabber, matrix []string
	var people strings.Builder
	for i := range c.rooms * c.each {
		fmt.Fprintf(&people, "  - {name: i%[1]d, irc: \"nick:i%[1]d\", roles: [view]}\n  - {name: j%[1]d, xmpp: j%[1]d@%[2]s, roles: [view]}\n  - {name: m%[1]d, matrix: \"@m%[1]d:%[3]s\", roles: [view]}\n  - {name: s%[1]d, slack: U0S%[1]d, roles: [view]}\n", i, real.XMPPDomain, real.MatrixServer)
		jabber, matrix = append(jabber, fmt.Sprintf("j%d", i)), append(matrix, fmt.Sprintf("m%d", i))
	}
	for i := range c.strangers {
		jabber, matrix = append(jabber, fmt.Sprintf("zj%d", i)), append(matrix, fmt.Sprintf("zm%d", i))
	}
	fail := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	s.irc, err = real.StartIRCd()
	fail(err)
	t.Cleanup(s.irc.Stop)
	s.jabber, err = real.StartProsody(append(jabber, "jarvis")...)
	fail(err)
	t.Cleanup(s.jabber.Stop)
	onMatrix, links := "", 3
	if c.matrix {
		s.matrix, err = real.StartDendrite(real.DendriteOptions{}, append(matrix, "jarvis")...)
		fail(err)
		t.Cleanup(s.matrix.Stop)
		onMatrix, links = fmt.Sprintf("  - matrix: {homeserver: %q, ca: %q, user: \"@jarvis:%s\", password: pw-jarvis-lab, rooms: [%s]}\n", s.matrix.URL, s.matrix.CA, real.MatrixServer, strings.Join(s.onMatrix(t), ", ")), 4
	}
	s.slack = lab.StartSlack(lab.SlackOptions{PostEvery: time.Millisecond, Burst: 10000})
	t.Cleanup(s.slack.Close)

	var ic, jc, sc []string
	for i := range c.rooms {
		ic, jc, sc = append(ic, fmt.Sprintf("%q", fmt.Sprintf("#c%d", i))), append(jc, fmt.Sprintf("%q", fmt.Sprintf("r%d@%s", i, real.XMPPRooms))), append(sc, fmt.Sprintf("%q", fmt.Sprintf("#c%d", i)))
	}
	s.onSlack(t)
	conf := filepath.Join(t.TempDir(), "jarvis.yaml")
	const rate = "rate: {burst: 1000, interval: 1ms}"
	fail(os.WriteFile(conf, fmt.Appendf(nil, `listen: ""
chat:
  - irc: {server: %q, channels: [%s], %s}
  - xmpp: {server: %q, ca: %q, jid: jarvis@%s, password: pw-jarvis, rooms: [%s], %s}
  - slack: {app_token: %s, bot_token: %s, url: %q, channels: [%s], %s}
%speople:
%s`, s.irc.Addr, strings.Join(ic, ", "), rate, s.jabber.Addr, s.jabber.CA, real.XMPPDomain, strings.Join(jc, ", "), rate,
		lab.SlackAppToken, lab.SlackBotToken, s.slack.URL, strings.Join(sc, ", "), rate, onMatrix, people.String()), 0o600))
	_, log := serveInProcess(t, conf)
	for end := time.Now().Add(real.Patience(time.Minute)); ; time.Sleep(50 * time.Millisecond) {
		text := log.String()
		if strings.Count(text, "made a room") == c.rooms && strings.Count(text, " link is up")+strings.Count(text, "connected to slack") >= links {
			break
		}
		if time.Now().After(end) {
			t.Fatal("no links:\n", log)
		}
	}
	s.onIRC(t)
	s.onJabber(t)
	return s
}
