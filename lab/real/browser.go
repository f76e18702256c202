package real

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// Browser is Chromium, without a screen.
type Browser struct {
	ctx context.Context
	end func()
}

// StartBrowser starts one with a profile of its own. The binary itself is called: Debian's wrapper script adds flags.
func StartBrowser() (*Browser, error) {
	const binary = "/usr/lib/chromium/chromium"
	if _, err := os.Stat(binary); err != nil {
		return nil, fmt.Errorf("%s is not installed; run: apt-get install -y chromium fonts-dejavu-core", binary)
	}
	dir, err := folder("chromium")
	if err != nil {
		return nil, err
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(binary), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(dir),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.WSURLReadTimeout(time.Minute))
	ctx, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(ctx)
	b := &Browser{ctx: ctx, end: func() {
		_ = chromedp.Cancel(ctx) // asks it to end, and waits
		cancel()
		stop()
		_ = os.RemoveAll(dir)
	}}
	if err := chromedp.Run(ctx); err != nil {
		b.end()
		return nil, fmt.Errorf("start chromium: %w", err)
	}
	return b, nil
}

// Stop ends it and all its windows.
func (b *Browser) Stop() { b.end() }

// Window is a window with cookies of its own, as another person's.
type Window struct {
	ctx   context.Context
	close func()

	mu    sync.Mutex
	wrong []string
}

// Window opens one.
func (b *Browser) Window() (*Window, error) {
	// Chromium opens the first page of a new set of cookies as a new window only, which chromedp does not ask for.
	var id target.ID
	err := chromedp.Run(b.ctx, chromedp.ActionFunc(func(ctx context.Context) error {
		ctx = cdp.WithExecutor(ctx, chromedp.FromContext(ctx).Browser)
		cookies, err := target.CreateBrowserContext().Do(ctx)
		if err != nil {
			return err
		}
		id, err = target.CreateTarget("about:blank").WithBrowserContextID(cookies).WithNewWindow(true).Do(ctx)
		return err
	}))
	if err != nil {
		return nil, fmt.Errorf("open a window: %w", err)
	}
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithTargetID(id))
	w := &Window{ctx: ctx, close: cancel}
	chromedp.ListenTarget(ctx, func(ev any) {
		switch e := ev.(type) {
		case *log.EventEntryAdded:
			if e.Entry.Level == log.LevelError || e.Entry.Level == log.LevelWarning {
				w.note(fmt.Sprintf("%s %s: %s %s", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL))
			}
		case *runtime.EventExceptionThrown:
			w.note("exception: " + e.ExceptionDetails.Error())
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
				for _, a := range e.Args {
					w.note(fmt.Sprintf("console %s: %s", e.Type, a.Value))
				}
			}
		}
	})
	err = chromedp.Run(ctx, chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := page.AddScriptToEvaluateOnNewDocument(`addEventListener("securitypolicyviolation", e => console.error("CSP " + e.violatedDirective + " " + e.blockedURI + " " + e.sourceFile))`).Do(ctx)
		return err
	}))
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open a window: %w", err)
	}
	return w, nil
}

// Close closes it.
func (w *Window) Close() { w.close() }

func (w *Window) note(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, strings.ReplaceAll(what, "\n", " "))
}

// Wrong gives what the browser complained of since it was asked last: violations of the Content-Security-Policy,
// exceptions, errors of the console, and requests that failed.
func (w *Window) Wrong() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.wrong
	w.wrong = nil
	return out
}

// Do does things in the window, within limit: all of them again when a live page put a new element in the place of the
// one that was just found, as a person would.
func (w *Window) Do(limit time.Duration, actions ...chromedp.Action) error {
	ctx, cancel := context.WithTimeout(w.ctx, Patience(limit))
	defer cancel()
	for {
		err := chromedp.Run(ctx, actions...)
		if err == nil || !strings.Contains(err.Error(), "Could not find node with given id") {
			return err
		}
	}
}

// Text gives the text that a selector's first element shows; "" when there is none.
func (w *Window) Text(selector string) string {
	var s string
	if err := w.Do(10*time.Second, chromedp.Evaluate(fmt.Sprintf(`document.querySelector(%q)?.innerText ?? ""`, selector), &s)); err != nil {
		return ""
	}
	return s
}

// Until waits until an element's text holds any of some words, over reloads and new pages.
func (w *Window) Until(limit time.Duration, selector string, words ...string) error {
	text := ""
	for began := time.Now(); time.Since(began) < Patience(limit); time.Sleep(100 * time.Millisecond) {
		if text = w.Text(selector); slices.ContainsFunc(words, func(x string) bool { return strings.Contains(text, x) }) {
			return nil
		}
	}
	return fmt.Errorf("after %s %s does not say %q, but %q", limit, selector, words, text)
}

// Look says how wide the window is, in pixels, and whether its person likes it dark.
func (w *Window) Look(width int, dark bool) error {
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	return w.Do(10*time.Second, emulation.SetDeviceMetricsOverride(int64(width), 800, 1, width < 600),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
}

// Shot keeps a picture of the whole page.
func (w *Window) Shot(file string) error {
	var b []byte
	if err := w.Do(20*time.Second, chromedp.FullScreenshot(&b, 100)); err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o644)
}

// Axe gives what axe-core finds wrong with the page for people who do not see, hear or point as others do; and whether
// the page is wider than its window.
func (w *Window) Axe() ([]string, error) {
	dir, err := npm("axe-core", "4.14.1")
	if err != nil {
		return nil, err
	}
	script, err := os.ReadFile(filepath.Join(dir, "axe.min.js"))
	if err != nil {
		return nil, err
	}
	var found string
	err = w.Do(30*time.Second, chromedp.Evaluate(string(script)+"; 0", nil),
		chromedp.Evaluate(`axe.run(document, {resultTypes: ["violations"], runOnly: ["wcag2a","wcag2aa","wcag21a","wcag21aa","wcag22aa","best-practice"]}).then(r => JSON.stringify(r.violations.map(v => v.id + ": " + v.help + ": " + v.nodes.slice(0, 3).map(n => n.html.slice(0, 200) + " " + (n.any[0]?.message ?? "")).join(" | "))))`,
			&found, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	if err != nil {
		return nil, err
	}
	var out []string
	if err := json.Unmarshal([]byte(found), &out); err != nil {
		return nil, err
	}
	wide, err := w.Wide()
	if wide != "" {
		out = append(out, wide)
	}
	return out, err
}

// Wide says that the page is wider than its window; "" when it is not.
func (w *Window) Wide() (said string, err error) {
	return said, w.Do(10*time.Second, chromedp.Evaluate(`document.documentElement.scrollWidth > innerWidth ? "the page is " + document.documentElement.scrollWidth + " wide in a window of " + innerWidth + ": " +
		[...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > innerWidth).slice(-1).map(e => e.outerHTML.slice(0, 200)) : ""`, &said))
}
