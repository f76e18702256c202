package lab

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/spf13/afero"
	gossh "golang.org/x/crypto/ssh"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
)

// exec is the host's programs: few, and enough for what the steps do.
func (s *Sandbox) exec(ctx context.Context, args []string) error {
	h := interp.HandlerCtx(ctx)
	var flags string
	var words []string
	for _, a := range args[1:] {
		if strings.HasPrefix(a, "-") && len(a) > 1 && len(words) == 0 {
			flags += a[1:]
			continue
		}
		words = append(words, a)
	}
	fail := func(code int, format string, a ...any) error {
		_, _ = fmt.Fprintf(h.Stderr, args[0]+": "+format+"\n", a...)
		return interp.ExitStatus(code)
	}
	say := func(format string, a ...any) error {
		_, err := fmt.Fprintf(h.Stdout, format+"\n", a...)
		return err
	}
	switch args[0] {
	case "env": // of the sandbox's own, who need no environment
		for len(words) > 0 && strings.Contains(words[0], "=") {
			words = words[1:]
		}
		return s.exec(ctx, args[len(args)-len(words):])
	case "cat":
		if len(words) == 0 {
			_, _ = io.Copy(h.Stdout, orEmpty(h.Stdin))
			return nil
		}
		for _, w := range words {
			b, err := afero.ReadFile(s.fs, w)
			if err != nil {
				return fail(1, "%s: No such file or directory", w)
			}
			_, _ = h.Stdout.Write(b)
		}
	case "mkdir":
		for _, w := range words {
			if strings.Contains(flags, "p") {
				if err := s.fs.MkdirAll(w, 0o755); err != nil {
					return fail(1, "%s: %v", w, err)
				}
				continue
			}
			// Mkdir of the file system in memory is atomic, as on a real one.
			if err := s.fs.Mkdir(w, 0o755); err != nil {
				return fail(1, "cannot create directory '%s': File exists", w)
			}
		}
	case "rm":
		for _, w := range words {
			if _, err := s.fs.Stat(w); err != nil && !strings.Contains(flags, "f") {
				return fail(1, "cannot remove '%s': No such file or directory", w)
			}
			_ = s.fs.RemoveAll(w)
		}
	case "mv", "cp":
		if len(words) < 2 {
			return fail(1, "missing operand")
		}
		dst := words[len(words)-1]
		for _, src := range words[:len(words)-1] {
			to := dst
			if ok, _ := afero.DirExists(s.fs, dst); ok {
				to = path.Join(dst, path.Base(src))
			}
			b, err := afero.ReadFile(s.fs, src)
			if err != nil {
				return fail(1, "cannot stat '%s': No such file or directory", src)
			}
			if args[0] == "mv" {
				err = s.fs.Rename(src, to)
			} else {
				err = afero.WriteFile(s.fs, to, b, 0o600)
			}
			if err != nil {
				return fail(1, "%s: %v", to, err)
			}
		}
	case "touch", "tee":
		b, _ := io.ReadAll(orEmpty(h.Stdin))
		for _, w := range words {
			if args[0] == "tee" || !exists(s.fs, w) {
				if err := afero.WriteFile(s.fs, w, b, 0o644); err != nil {
					return fail(1, "%s: %v", w, err)
				}
			}
		}
		if args[0] == "tee" {
			_, _ = h.Stdout.Write(b)
		}
	case "ls":
		if len(words) == 0 {
			words = []string{h.Dir}
		}
		for _, w := range words {
			infos, err := afero.ReadDir(s.fs, w)
			if err != nil {
				return fail(2, "cannot access '%s': No such file or directory", w)
			}
			for _, i := range infos {
				_ = say("%s", i.Name())
			}
		}
	case "flock":
		return s.flock(ctx, args[1:], fail)
	case "sed", "sort", "head":
		out, ok := filter(args, orEmpty(h.Stdin))
		if !ok {
			return fail(1, "a sandbox knows no such use of it")
		}
		_, _ = io.WriteString(h.Stdout, out)
	case "tail":
		if !strings.HasPrefix(flags, "c") {
			out, ok := filter(args, orEmpty(h.Stdin))
			if !ok {
				return fail(1, "a sandbox knows tail -n N, and tail -c +N FILE")
			}
			_, _ = io.WriteString(h.Stdout, out)
			return nil
		}
		// tail -c +N FILE: what the follower of jobs asks.
		if len(words) != 2 {
			return fail(1, "a sandbox knows tail -c +N FILE")
		}
		var n int
		if _, err := fmt.Sscanf(words[0], "+%d", &n); err != nil {
			return fail(1, "a sandbox knows tail -c +N FILE")
		}
		b, err := afero.ReadFile(s.fs, words[1])
		if err != nil {
			return fail(1, "cannot open '%s'", words[1])
		}
		_, _ = h.Stdout.Write(b[min(max(n-1, 0), len(b)):])
	case "wc":
		b, _ := io.ReadAll(orEmpty(h.Stdin))
		return say("%d", len(b))
	case "chmod", "chown", "sync":
	case "hostname":
		return say("%s", s.Name)
	case "uname":
		return say("Linux")
	case "whoami":
		return say("root")
	case "id":
		return say("uid=0(root) gid=0(root) groups=0(root)")
	case "uptime":
		return say(" up a moment, 1 user, load average: 0.00, 0.00, 0.00")
	case "date":
		return say("%s", time.Now().Format(time.UnixDate))
	case "sleep":
		if len(words) != 1 {
			return fail(1, "missing operand")
		}
		d, err := time.ParseDuration(words[0] + "s")
		if err != nil {
			return fail(1, "invalid time interval '%s'", words[0])
		}
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return interp.ExitStatus(137)
		}
	case "kill":
		// kill -0 PID: the jobs of a sandbox live as long as it does.
	case "nohup":
		if len(words) > 0 {
			return s.exec(ctx, args[1:])
		}
	case "setsid": // no signal to the session that began it reaches it
		if len(words) > 0 {
			own, end := context.WithCancel(context.WithoutCancel(ctx))
			defer end()
			defer context.AfterFunc(s.ctx, end)()
			return s.exec(own, args[1:])
		}
	case "sh", "/bin/sh", "bash":
		script, params := "", words
		if flags == "c" && len(words) > 0 {
			script, params = words[0], words[1:]
			if len(params) > 0 {
				params = params[1:] // $0
			}
		} else if len(words) > 0 {
			b, err := afero.ReadFile(s.fs, words[0])
			if err != nil {
				return fail(127, "%s: not found", words[0])
			}
			script, params = string(b), words[1:]
		}
		if code := s.run(ctx, script, exported(h.Env), params, h.Stdin, h.Stdout, h.Stderr); code != 0 {
			return interp.ExitStatus(code)
		}
	case "ssh-keygen":
		return s.keygen(args[1:], fail)
	case "systemctl", "service":
		if len(words) == 1 && words[0] == "reboot" {
			s.reboot()
		} else if strings.Contains(strings.Join(args, " "), "reload") {
			if err := s.readHostKeys(); err != nil {
				return fail(1, "%v", err)
			}
		}
	case "reboot", "shutdown":
		s.reboot()
	case "apt-get", "puppet":
		return s.manage(ctx, args, say)
	default:
		return fail(127, "a sandbox has no such program")
	}
	return nil
}

// manage plays what installs and runs configuration management, slowly enough to be watched, and counts.
func (s *Sandbox) manage(ctx context.Context, args []string, say func(string, ...any) error) error {
	s.mu.Lock()
	s.ran[strings.Join(args, " ")]++
	s.mu.Unlock()
	lines := []string{"Reading package lists...", "Setting up puppet-agent ..."}
	if args[0] == "puppet" {
		lines = []string{"Info: Using environment 'production'", "Info: Applying configuration version '1'",
			"Notice: /Stage[main]/Motd/File[/etc/motd]/content: content changed", "Notice: Applied catalog in 0.31 seconds"}
	}
	for _, l := range lines {
		if err := say("%s", l); err != nil {
			return err
		}
		select {
		case <-time.After(150 * time.Millisecond):
		case <-ctx.Done():
			return interp.ExitStatus(137)
		}
	}
	return nil
}

// keygen makes a real key pair; a sandbox makes ed25519 keys whatever type is asked for, but files them as asked.
func (s *Sandbox) keygen(args []string, fail func(int, string, ...any) error) error {
	var file, comment, kind string
	for i, a := range args {
		if i+1 >= len(args) {
			break
		}
		switch a {
		case "-f":
			file = args[i+1]
		case "-C":
			comment = args[i+1]
		case "-t":
			kind = args[i+1]
		}
	}
	if kind != "ed25519" {
		// One kind is enough to prove the way; an empty file would be no key.
		return afero.WriteFile(s.fs, file+".pub", []byte("# "+kind+" is not made in a sandbox\n"), 0o644)
	}
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fail(1, "%v", err)
	}
	block, err := gossh.MarshalPrivateKey(priv, comment)
	if err != nil {
		return fail(1, "%v", err)
	}
	p, err := gossh.NewPublicKey(pub)
	if err != nil {
		return fail(1, "%v", err)
	}
	line := strings.TrimSpace(string(gossh.MarshalAuthorizedKey(p))) + " " + comment + "\n"
	if err := errors.Join(afero.WriteFile(s.fs, file, pem.EncodeToMemory(block), 0o600), afero.WriteFile(s.fs, file+".pub", []byte(line), 0o644)); err != nil {
		return fail(1, "%v", err)
	}
	return nil
}

func exists(fs afero.Fs, name string) bool {
	_, err := fs.Stat(name)
	return err == nil
}

func orEmpty(r io.Reader) io.Reader {
	if r == nil {
		return strings.NewReader("")
	}
	return r
}

// exported gives what a program inherits.
func exported(env expand.Environ) (out []string) {
	for name, v := range env.Each {
		if v.Exported && v.IsSet() {
			out = append(out, name+"="+v.String())
		}
	}
	return out
}
