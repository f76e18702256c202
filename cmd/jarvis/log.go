package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/config"
	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/internal/plain"
)

// journal is the server's log: what it writes is plain text, and no secret of the configuration is in it.
type journal struct {
	*slog.Logger
	level  slog.LevelVar
	least  slog.Level // --verbose
	masker *clipboard.Masker
}

// newJournal makes the log that the configuration asks for.
func newJournal(w io.Writer, conf *config.Config, verbose bool) *journal {
	j := &journal{masker: &clipboard.Masker{}, least: slog.LevelError}
	if verbose {
		j.least = slog.LevelDebug
	}
	o := &slog.HandlerOptions{Level: &j.level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr { return slog.Attr{Key: a.Key, Value: j.clean(a.Key, a.Value)} }}
	var h slog.Handler = slog.NewTextHandler(w, o)
	if conf.Log.Format == "json" {
		h = slog.NewJSONHandler(w, o)
	}
	j.Logger = slog.New(h)
	j.follow(conf)
	return j
}

// follow takes over what a configuration says of the log while it is written: the level, and what is secret.
func (j *journal) follow(conf *config.Config) {
	var l slog.Level
	_ = l.UnmarshalText([]byte(conf.Log.Level)) // config has checked it; "" is info
	j.level.Set(min(l, j.least))
	for _, s := range conf.Secrets() {
		j.masker.Add(s)
	}
}

// token is what `token new` gives; it may stand in what somebody typed.
var token = pattern.New(access.TokenPrefix + `[A-Za-z0-9_-]{40,}`)

// clean masks secrets and tokens, and makes text plain. Numbers, times and levels pass; a stack keeps its lines.
func (j *journal) clean(key string, v slog.Value) slog.Value {
	var s string
	switch v = v.Resolve(); v.Kind() {
	case slog.KindString:
		s = v.String()
	case slog.KindAny:
		switch x := v.Any().(type) {
		case *slog.Source, slog.Level:
			return v
		case error:
			s = x.Error()
		default:
			s = fmt.Sprint(x)
		}
	default:
		return v
	}
	if key == "stack" {
		s = plain.Text(s)
	} else {
		s = plain.Line(s)
	}
	return slog.StringValue(token.ReplaceAllLiteralString(j.masker.Mask(s), clipboard.Mask))
}

// mistakes writes what is wrong in a configuration, a line each.
func (j *journal) mistakes(msg string, err error) {
	for _, l := range strings.Split(err.Error(), "\n") {
		j.Log(context.Background(), slog.LevelError, msg, "err", l)
	}
}
