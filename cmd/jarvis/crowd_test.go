package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
)

// BenchmarkCrowd is 200 people in 20 rooms, half on IRC and half on Jabber, who all talk at once: each asks ten times,
// and asks again when the answer is there. Nobody's line may be lost.
func BenchmarkCrowd(b *testing.B) {
	rooms, each, asks := 10, 10, 10
	if testing.Short() { // CI runs each benchmark so that none can rot
		rooms, each, asks = 2, 3, 3
	}
	for b.Loop() {
		accounts := []string{"jarvis"}
		for i := range rooms * each {
			accounts = append(accounts, fmt.Sprintf("x%d", i))
		}
		irc, err := real.StartIRCd()
		if err != nil {
			b.Fatal(err)
		}
		defer irc.Stop()
		jabber, err := real.StartProsody(accounts...)
		if err != nil {
			b.Fatal(err)
		}
		defer jabber.Stop()
		var channels, rs, people []string
		for i := range rooms {
			channels = append(channels, fmt.Sprintf("%q", fmt.Sprintf("#c%d", i)))
			rs = append(rs, fmt.Sprintf("%q", fmt.Sprintf("r%d@%s", i, real.XMPPRooms)))
		}
		for i := range rooms * each {
			people = append(people, fmt.Sprintf("  - {name: i%[1]d, irc: \"nick:i%[1]d\", roles: [view]}\n  - {name: x%[1]d, xmpp: x%[1]d@%[2]s, roles: [view]}\n", i, real.XMPPDomain))
		}
		dir := b.TempDir()
		conf := filepath.Join(dir, "jarvis.yaml")
		text := fmt.Sprintf("listen: \"\"\nchat:\n  - irc: {server: %q, channels: [%s], rate: {burst: 1000, interval: 1ms}}\n  - xmpp: {server: %q, ca: %q, jid: jarvis@%s, password: pw-jarvis, rooms: [%s], rate: {burst: 1000, interval: 1ms}}\npeople:\n%s",
			irc.Addr, strings.Join(channels, ", "), jabber.Addr, jabber.CA, real.XMPPDomain, strings.Join(rs, ", "), strings.Join(people, ""))
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
		_, log := serveInProcess(b, conf)
		for strings.Count(log.String(), "made a room") < rooms || !strings.Contains(log.String(), "the irc link is up") {
			time.Sleep(50 * time.Millisecond)
		}
		type person struct {
			name, room, answer string
			c                  interface {
				Say(place, text string)
				Next(pattern string, limit time.Duration) (string, error)
			}
		}
		var crowd []person
		for i := range rooms * each {
			channel, room := fmt.Sprintf("#c%d", i%rooms), fmt.Sprintf("r%d@%s", i%rooms, real.XMPPRooms)
			ic, err := real.DialIRC(b.Context(), irc.Addr, fmt.Sprintf("i%d", i), channel)
			if err != nil {
				b.Fatal(err)
			}
			defer ic.Close()
			xc, err := real.DialXMPP(b.Context(), jabber, fmt.Sprintf("x%d", i), room)
			if err != nil {
				b.Fatal(err)
			}
			defer xc.Close()
			crowd = append(crowd, person{fmt.Sprintf("i%d", i), channel, fmt.Sprintf(":i%d: nothing is under way", i), ic}, person{fmt.Sprintf("x%d", i), room, fmt.Sprintf("jarvis: x%d: nothing is under way", i), xc})
		}
		var mu sync.Mutex
		var took []time.Duration
		lost := 0
		var wg sync.WaitGroup
		began := time.Now()
		for _, p := range crowd {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for range asks {
					at := time.Now()
					p.c.Say(p.room, "jarvis: status")
					_, err := p.c.Next(p.answer, 30*time.Second)
					mu.Lock()
					if err != nil {
						lost++
						if lost < 4 {
							b.Log(err)
						}
					} else {
						took = append(took, time.Since(at))
					}
					mu.Unlock()
				}
			}()
		}
		wg.Wait()
		all := time.Since(began)
		slices.Sort(took)
		if lost > 0 {
			b.Errorf("%d of %d lines were lost", lost, len(crowd)*asks)
		}
		b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "p50-ms")
		b.ReportMetric(float64(took[len(took)*99/100].Milliseconds()), "p99-ms")
		b.ReportMetric(float64(len(took))/all.Seconds(), "answers/s")
	}
}
