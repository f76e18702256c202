//go:build !race

// Not under the race detector: the process that is killed is not the test's.

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// An open page outlives the server: while a host is deployed the process is killed with -9 again and again, the step
// under way asks a person, who presses retry in the page. The page comes back each time by its last id, and has every
// line of the log once, and the end.
func TestAnOpenPageMissesNothing(t *testing.T) {
	dir, bin := t.TempDir(), buildJarvis(t)
	me := must[*user.User](t)(user.Current())
	port := must[int](t)(freePort())
	write := func(name, text string, mode os.FileMode) string {
		file := filepath.Join(dir, name)
		must[any](t)(nil, os.MkdirAll(filepath.Dir(file), 0o755))
		must[any](t)(nil, os.WriteFile(file, []byte(text), mode))
		return file
	}
	write("w/toy", "#!/bin/sh\n[ \"$1\" = --steps ] && exit 64\nfor i in 1 2 3 4 5 6 7 8; do sleep 0.2; echo \"$1 <b>$i</b> s3cr3t-s3cr3t\" >&2; done\n", 0o755)
	conf := write("jarvis.yaml", fmt.Sprintf("data: %s\nlisten: 127.0.0.1:%d\npeople: [{name: alice, local: %s, roles: [deploy, run]}]\nworkers: {external: {dir: %s}}\npipelines: {deploy: {toy: [\"toy:a\", \"toy:b\", \"toy:c\"]}}\n",
		filepath.Join(dir, "data"), port, me.Username, filepath.Join(dir, "w")), 0o600)
	loki := write("loki.yaml", "instance:\n  hostname: loki\n  provider: toy\n  api_token: !secret s3cr3t-s3cr3t\n", 0o600)
	p := &process{t: t, bin: bin, conf: conf, log: must[*os.File](t)(os.Create(filepath.Join(dir, "log")))}
	p.start()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Log(p.said())
		}
	})
	var link string
	for i := 0; link == "" && i < 200; i++ {
		out, _ := p.cli(t.Context(), "page")
		link = regexp.MustCompile(`http://\S+/login/\S+`).FindString(string(out))
		time.Sleep(50 * time.Millisecond)
	}
	jar, _ := cookiejar.New(nil)
	browser := &http.Client{Jar: jar}
	res := must[*http.Response](t)(browser.Post(link, "application/x-www-form-urlencoded", nil))
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK || res.Request.URL.Path != "/" {
		t.Fatalf("sign in by %s: %s at %s", link, res.Status, res.Request.URL)
	}
	if out, err := p.cli(t.Context(), "deploy", "--no-wait", loki); err != nil {
		var failed *exec.ExitError
		_ = errors.As(err, &failed)
		t.Fatalf("%s %s", out, failed.Stderr)
	}
	base := fmt.Sprintf("http://127.0.0.1:%d", port)
	var got []string
	all, last, ready, asks, heard := "", "1", false, false, false
	follow := func(ctx context.Context) { // as an EventSource does, until the stream breaks
		req := must[*http.Request](t)(http.NewRequestWithContext(ctx, http.MethodGet, base+"/runs/1?live=1&last=1", nil))
		req.Header.Set("Last-Event-ID", last)
		res, err := browser.Do(req)
		if err != nil {
			return
		}
		defer func() { _ = res.Body.Close() }()
		kind, data, id := "", "", ""
		for sc := bufio.NewScanner(res.Body); sc.Scan(); {
			key, value, _ := strings.Cut(sc.Text(), ": ")
			switch key {
			case "event":
				kind = value
			case "id":
				id = value
			case "data":
				data += value + "\n"
			case "":
				if kind == "part" || kind == "log" { // the rest is text, and never markup
					all += data
				}
				if kind == "log" || strings.Contains(data, `<ol id="lines">`) {
					got = append(got, regexp.MustCompile(`<li id="L\d+"`).FindAllString(data, -1)...)
				}
				heard, asks = true, asks || strings.Contains(data, "? loki asks")
				ready = ready || strings.Contains(data, "loki is ready") || strings.Contains(data, "✓ loki ready")
				if id != "" {
					last = id
				}
				if told := id != "" && (ready || asks); told {
					return
				}
				kind, data, id = "", "", ""
			}
		}
	}
	kills := 0
	for began := time.Now(); !ready && time.Since(began) < 2*time.Minute; {
		ctx, cancel := context.WithTimeout(t.Context(), 1300*time.Millisecond)
		if kills >= 4 {
			ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
		}
		heard = false
		follow(ctx)
		cancel()
		switch {
		case ready:
		case asks:
			if res, err := browser.PostForm(base+"/runs/1", url.Values{"verb": {"retry"}, "run": {"1"}}); err == nil {
				_ = res.Body.Close()
				asks = res.StatusCode != http.StatusOK
			}
		case heard && kills < 4:
			p.kill()
			p.start()
			kills++
		}
		time.Sleep(100 * time.Millisecond)
	}
	if !ready {
		t.Fatal("it never became ready")
	}
	res = must[*http.Response](t)(browser.Get(base + "/runs/1"))
	page := string(must[[]byte](t)(io.ReadAll(res.Body)))
	_ = res.Body.Close()
	want := regexp.MustCompile(`<li id="L\d+"`).FindAllString(page, -1)[1:] // the page had the first
	if !slices.Equal(got, want) {
		t.Errorf("after %d kills the open page has the lines %v, and the record %v", kills, got, want)
	}
	if bad := regexp.MustCompile(`.{0,200}(s3cr3t|<b>\d).{0,200}`).FindString(all + page); bad != "" {
		t.Errorf("a secret, or markup of a step, was sent: %s", bad)
	}
	t.Logf("%d kills, %d lines", kills, len(got))
}
