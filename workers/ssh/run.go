package ssh

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
)

// command is one entry of the clipboard's `commands`: a string, or {run: …, resume: again}.
type command struct {
	Run    string `yaml:"run"`
	Resume string `yaml:"resume"`
}

func (c *command) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		c.Run = n.Value
		return nil
	}
	type plain command
	if n.Kind != yaml.MappingNode {
		return clipboard.Misshapen(n, "commands", clipboard.MustEach+"a command, or a mapping with `run`")
	}
	if err := clipboard.Shaped(n, (*plain)(c), "commands"); err != nil {
		return err
	}
	wrong := ""
	switch {
	case c.Resume != "" && c.Resume != "again" && c.Resume != "ask":
		wrong = fmt.Sprintf("resume is again or ask, not %q", c.Resume)
	case c.Run == "":
		wrong = "an entry has no `run`"
	default:
		return nil
	}
	return &clipboard.SyntaxError{Line: n.Line, Msg: "\"commands\": " + wrong}
}

// run runs the clipboard's own commands, in order, each once.
func (w *Worker) run() pipeline.Step {
	read := func(c *clipboard.Clipboard) ([]command, error) {
		var list []command
		err := c.Decode("commands", &list)
		if err == nil && len(list) == 0 {
			err = errors.New(`"commands" is empty`)
		}
		return list, pipeline.Permanent(err)
	}
	return pipeline.Step{
		Name:    "ssh:run",
		Doc:     "runs the clipboard's `commands` on the host, in order, each once",
		Needs:   []string{"ipaddress", "hostkeys", "login?", "ssh_port?", "commands", "hostname", "fqdn?", "commands_done?"},
		Gives:   []string{"commands_done"},
		Timeout: 2 * time.Hour,
		Resume:  pipeline.Probe, // a job on the host tells what became of it; when it cannot, the step asks
		Plan: func(_ context.Context, c *clipboard.Clipboard) (string, error) {
			list, err := read(c)
			if err != nil {
				return "", err
			}
			var out []string
			for _, cmd := range list {
				out = append(out, cmd.Run)
			}
			return "would run: " + strings.Join(out, "; "), nil
		},
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			list, err := read(c)
			if err != nil {
				return err
			}
			done := 0
			if c.Has("commands_done") {
				if done, err = c.Int("commands_done"); err != nil {
					return pipeline.Permanent(err)
				}
			}
			for i := done; i < len(list); i++ {
				pipeline.Progress(ctx, fmt.Sprintf("command %d of %d: %s", i+1, len(list), list[i].Run))
				exit, tail, err := w.job(ctx, c, fmt.Sprintf("run%d", i+1), list[i].Run, list[i].Resume == "again")
				if err != nil {
					return err
				}
				if exit != 0 {
					return pipeline.Permanentf("command %d (%s) ended with exit code %d: %s", i+1, list[i].Run, exit, tail)
				}
				if err := c.Set("commands_done", i+1); err != nil {
					return err
				}
				if err := pipeline.Keep(ctx, c); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// job runs one command on the host, once per try of a person, and gives its exit code and last line.
func (w *Worker) job(ctx context.Context, c *clipboard.Clipboard, name, cmd string, again bool) (exit int, tail string, err error) {
	in, err := c.Instance()
	if err != nil {
		return 0, "", pipeline.Permanent(err)
	}
	cl, err := w.dial(ctx, c)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = cl.Close() }()
	f := pipeline.FactsOf(ctx)
	id := fmt.Sprintf("%s-%d-%s-%d", f.Token, f.Stage+1, name, f.Try)
	// The names are checked host names; they are quoted all the same.
	script := "export JARVIS_HOSTNAME=" + remote.Quote(in.Hostname) + " JARVIS_FQDN=" + remote.Quote(in.FQDN) + "\n" + cmd
	line := func(l string) {
		if l = strings.TrimSpace(l); l != "" {
			tail = l
			pipeline.Progress(ctx, l)
		}
	}
	// A cancel or a timeout kills the command on the host; a stop of Jarvis leaves it, to be taken up again.
	kill := func(cause error) bool { return !errors.Is(cause, pipeline.ErrStopping) }
	for n := 2; ; n++ {
		exit, err = cl.Job(ctx, remote.Job{ID: id, Command: script, Line: line, Kill: kill})
		if errors.Is(err, remote.ErrUnknownOutcome) && again && n < 5 {
			id = fmt.Sprintf("%s.%d", id, n)
			continue
		}
		break
	}
	if errors.Is(err, remote.ErrUnknownOutcome) {
		return 0, tail, pipeline.AskPerson(fmt.Errorf("%s was %w", name, err))
	}
	return exit, tail, err
}

// management finds the command table's line that the clipboard or the configuration names.
func (w *Worker) management(c *clipboard.Clipboard) (string, Management, error) {
	name := w.cfg.Default
	if c.Has("config_management") {
		name = c.Get("config_management")
	}
	m, ok := w.cfg.Management[name]
	if !ok {
		var have []string
		for k := range w.cfg.Management {
			have = append(have, k)
		}
		slices.Sort(have)
		return name, m, pipeline.Permanentf("config_management is %q, but the configuration knows %s", name, strings.Join(have, ", "))
	}
	return name, m, nil
}
