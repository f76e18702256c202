package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/jarvisops/jarvis/lab/real"
)

// BenchmarkPages: how long the first byte of each page takes, with 1,000 hosts, 10,000 runs, ten million results and
// 2,000 checks; and what it weighs, compressed. docs/design/performance.md has the figures.
func BenchmarkPages(b *testing.B) {
	for range b.N {
		hosts, results, times, checked := 1_000, 10_000_000, 300, 200
		if testing.Short() { // CI runs each benchmark so that none can rot
			hosts, results, times, checked = 100, 20_000, 3, 20
		}
		y := makeYears(b, "pages", hosts, 10, 30, number("JARVIS_BENCH_RESULTS", results))
		var more strings.Builder
		for i := range 10 {
			fmt.Fprintf(&more, "    - {name: t%d, command: \"true\", from: server, schedule: \"@every 1h\"}\n", i)
		}
		conf := strings.Replace(yearsConf, "checks:\n  tasks: [{name: up, command: \"true\", from: server, schedule: \"@every 1h\"}]\n  hosts: [{name: fixed, address: 127.0.0.1}]\n", "checks:\n  at_once: 4\n  tasks:\n    - {name: up, command: \"true\", from: server, schedule: \"@every 1h\"}\n"+more.String()+"  hosts: [{name: fixed, address: 127.0.0.1}"+checkedHosts(checked)+"]\n", 1)
		conf = strings.Replace(conf, "  host_tasks: [{tasks: [\"*\"], hosts: [fixed]}]", "  host_tasks: [{tasks: [up], hosts: [fixed]}, {tasks: [\"t*\"], hosts: [\"c*\"]}]", 1)
		y.write("jarvis.yaml", conf, 0o600)
		y.serve()
		admin := y.do("token new pages for root")[0]
		jar, _ := cookiejar.New(nil)
		browser := &http.Client{Jar: jar}
		res, err := browser.PostForm(y.base+"/login", url.Values{"token": {admin}})
		if err != nil {
			b.Fatal(err)
		}
		_ = res.Body.Close()
		worst := time.Duration(0)
		for _, path := range []string{"/", "/hosts", "/hosts?q=web1", "/hosts/web7.example.org", "/runs/77", "/approvals", "/checks", "/checks?by=check", "/checks/fixed/up", "/exec", "/tasks", "/nodes", "/audit", "/audit?q=nothing-has-this", "/docs", "/docs/howto/pages", "/docs?q=proxy", "/sessions"} {
			var took []time.Duration
			weight := int64(0)
			for range times {
				var first time.Duration
				began := time.Now()
				req, err := http.NewRequestWithContext(httptrace.WithClientTrace(b.Context(), &httptrace.ClientTrace{GotFirstResponseByte: func() { first = time.Since(began) }}), http.MethodGet, y.base+path, nil)
				if err != nil {
					b.Fatal(err)
				}
				req.Header.Set("Accept-Encoding", "gzip")
				res, err := browser.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				if err != nil || res.StatusCode != http.StatusOK {
					b.Fatalf("%s: %s %v", path, res.Status, err)
				}
				took, weight = append(took, first), n
			}
			slices.Sort(took)
			p99 := took[(len(took)-1)*99/100]
			worst = max(worst, p99)
			fmt.Printf("%-34s first byte p50 %8s, p99 %8s, %5.1f kB\n", path, took[len(took)/2].Round(10*time.Microsecond), p99.Round(10*time.Microsecond), float64(weight)/1000)
		}
		b.ReportMetric(y.interactive(admin, "/checks"), "ms-to-interactive-checks")
		b.ReportMetric(y.interactive(admin, "/sessions"), "ms-to-interactive-sessions") // what this browser needs for the least
		b.ReportMetric(float64(worst.Microseconds())/1000, "worst-p99-ms")
		b.ReportMetric(0, "ns/op")
	}
}

func checkedHosts(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ", {name: c%03d, address: 127.0.0.1}", i)
	}
	return b.String()
}

// interactive gives the median of the milliseconds from a click to a page that can be used, its script included, in
// Chromium.
func (y *years) interactive(token, path string) float64 {
	y.Helper()
	browser, err := real.StartBrowser()
	if err != nil {
		y.Fatal(err)
	}
	defer browser.Stop()
	w, err := browser.Window()
	if err != nil {
		y.Fatal(err)
	}
	defer w.Close()
	var all []float64
	err = w.Do(time.Minute, chromedp.Navigate(y.base+"/login"), chromedp.SendKeys("input[name=token]", token+"\r", chromedp.ByQuery), chromedp.WaitVisible(".me a", chromedp.ByQuery))
	for range 9 {
		took := 0.0
		if err == nil {
			err = w.Do(time.Minute, chromedp.Navigate(y.base+path), chromedp.Evaluate("performance.getEntriesByType(\"navigation\")[0].domContentLoadedEventEnd", &took))
		}
		all = append(all, took)
	}
	if err != nil {
		y.Fatal(err)
	}
	slices.Sort(all)
	return all[len(all)/2]
}
