package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/web"
)

type fetchCmd struct {
	manyFlags

	To    string   `short:"r" default:"." placeholder:"DIR" help:"Directory here, made if need be; with several hosts each gets one below it."`
	Force bool     `short:"f" help:"Replace what is here under the same name and differs."`
	Paths []string `arg:"" help:"Files and directories on the hosts; *, ? and [ are patterns there; HOST:PATH names the host too, for each."`
}

// Help is shown under --help.
func (fetchCmd) Help() string {
	return "What is here already and differs is not replaced, unless --force says so.\n\nExamples:\n  jarvis fetch loki:/etc/motd\n  jarvis fetch web1:/etc/motd root@web2:2222:/etc/hosts\n  jarvis fetch -o 'web[1-20]' -r logs '/var/log/nginx/*.log'"
}

// Run is called by kong.
func (c *fetchCmd) Run(ctx context.Context, t *term) error {
	if c.To == "-" {
		return usage("-r - : fetch writes files, and none to stdout; `jarvis exec -q -o HOST cat FILE` prints one, and -r ./- is a directory of that name")
	}
	if st, err := os.Stat(c.To); c.To != "" && err == nil && !st.IsDir() {
		return usage("-r %s is a file here; what is fetched goes into a directory", c.To)
	}
	var of map[string][]string
	if len(c.Hosts) == 0 && !c.FromStdin {
		var err error
		if c.Hosts, of, err = byHost(c.Paths); err != nil {
			return err
		}
	}
	for i, p := range c.Paths {
		var err error
		if c.Paths[i], err = there(p); err != nil {
			return err
		}
	}
	c.NoLock = true // it changes nothing there
	hosts, r, err := c.resolve(ctx, t, "fetch")
	if err != nil {
		return err
	}
	defer r.Close()
	wanted := pathsOf(hosts, of)
	q := web.FilesRequest{Command: "fetch", Paths: c.Paths, Of: wanted}
	if wanted != nil {
		q.Paths = nil
	}
	return c.workBy(ctx, t, hosts, r, q, func(ctx context.Context, f crew, r *resolver, p *printer) ([]fleet.Result, error) {
		p.start("fetching", f.Reached())
		var out []fleet.Result
		files, bytes := 0, int64(0)
		o := fleet.FetchOptions{Paths: c.Paths, Of: wanted, Dir: c.To, Force: c.Force, Sudo: r.sudo(), Done: c.fetched(p)}
		for _, r := range fleet.FetchBy(ctx, f, o) {
			r.Err = c.hint(r.Err)
			out = append(out, fleet.Result{Host: r.Host, Err: r.Err})
			files, bytes = files+r.Files, bytes+r.Bytes
		}
		if !c.JSON && !c.Quiet && files > 0 {
			p.say("%d %s, %s, to %s", files, word(files, "file", "files"), size(bytes), c.where(len(f.Reached())))
		}
		return out, nil
	})
}

// fetched prints what was skipped on a host that is finished, and counts it.
func (c *fetchCmd) fetched(p *printer) func(int, fleet.FetchResult) {
	return func(at int, r fleet.FetchResult) {
		for _, l := range r.Said {
			p.line(fleet.Line{Host: at, Stderr: true, Text: plain.Line(l)})
		}
		p.resultOf("exit", at, fleet.Result{Host: r.Host, Err: c.hint(r.Err), Took: r.Took}, members{"directory": fromRoot(r.Dir), "files": r.Files, "bytes": r.Bytes})
	}
}

// fromRoot writes a path here from the root on.
func fromRoot(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		return abs
	}
	return dir
}

// hint adds to an error of a host what to do about it.
func (c *fetchCmd) hint(err error) error {
	var differs *fleet.DiffersError
	var denied *fleet.DeniedError
	switch {
	case errors.As(err, &differs):
		return fmt.Errorf("%w: --force replaces them, -r DIR writes elsewhere", err)
	case errors.As(err, &denied) && !c.Sudo && denied.As != "root":
		return fmt.Errorf("%w; -x reads as root there (sudo)", err)
	}
	return err
}

// where says where files of so many hosts are.
func (c *fetchCmd) where(hosts int) string {
	dir := fromRoot(c.To)
	if hosts > 1 {
		return dir + ", a directory for each host"
	}
	return dir
}

// pathsOf gives what is wanted of each host by its name, where words said it.
func pathsOf(hosts []found, of map[string][]string) map[string][]string {
	if of == nil {
		return nil
	}
	out := map[string][]string{}
	for _, h := range hosts {
		for _, w := range h.words {
			out[h.Name] = append(out[h.Name], of[w]...)
		}
	}
	return out
}

// byHost takes HOST:PATH words apart: the hosts, and what is wanted of each. HOST is a word as for -o, with a login and
// a port if need be; [ADDRESS]:PATH is one of IPv6.
func byHost(words []string) (hosts []string, of map[string][]string, err error) {
	of = map[string][]string{}
	for _, w := range words {
		host, path := hostAndPath(w)
		if host == "" || path == "" || strings.Contains(host, "/") {
			return nil, nil, usage("%s names no host and no path there; write HOST:PATH for each, as in `jarvis fetch loki:/etc/motd`, or the hosts with -o", w)
		}
		if path[0] == ':' {
			return nil, nil, usage("%s: write an address of IPv6 in brackets, as in [::1]:/etc/motd", w)
		}
		list, err := fleet.Expand(host)
		if err != nil {
			return nil, nil, usage("%v", err)
		}
		if path, err = there(path); err != nil {
			return nil, nil, err
		}
		for _, h := range list {
			if len(of[h]) == 0 {
				hosts = append(hosts, h)
			}
			of[h] = append(of[h], path)
		}
	}
	return hosts, of, nil
}

// hostAndPath cuts [user@]host[:port]:path. What follows the host is a port when it has digits alone and a colon ends
// it.
func hostAndPath(w string) (host, path string) {
	end := strings.IndexByte(w, ':')
	if at := strings.Index(w, "]:"); strings.Contains(w[:max(end, 0)], "[") && at >= 0 {
		end = at + 1
	}
	if end < 0 {
		return "", w
	}
	if port, _, ok := strings.Cut(w[end+1:], ":"); ok && port != "" && strings.Trim(port, "0123456789") == "" {
		end += 1 + len(port)
	}
	return w[:end], w[end+1:]
}
