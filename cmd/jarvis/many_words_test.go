package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
)

// What a refusal of hosts says to do: each of these named the trouble, and no way out.
func TestRefusalsSayWhatToDo(t *testing.T) {
	r := newRow(t, 2, 187)
	r.inside(t, 1, "rm $(command -v sudo)")
	r.inside(t, 2, "useradd -m -p '*' -s /bin/sh bob; mkdir /home/bob/.ssh; cp /root/.ssh/authorized_keys /home/bob/.ssh/; chown -R bob: /home/bob/.ssh; echo 'bob ALL=(ALL) ALL' > /etc/sudoers.d/bob; mkdir -m 700 /srv/closed")
	r.inside(t, 1, "chsh -s /usr/bin/tcsh root") // under -x it is sh that reads a line, with sudo and without
	r.inside(t, 1, "useradd -m -p '*' -s /bin/sh ann; mkdir /home/ann/.ssh; cp /root/.ssh/authorized_keys /home/ann/.ssh/; chown -R ann: /home/ann/.ssh")
	dir := t.TempDir()
	conf := filepath.Join(dir, "jarvis.yaml")
	if err := os.WriteFile(conf, []byte("data: data\nlisten: \"\"\nworkers: {ssh: {key: "+filepath.Join(r.home, ".ssh", "id")+"}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "f")
	if err := os.WriteFile(file, []byte("sent"), 0o600); err != nil {
		t.Fatal(err)
	}
	serveInProcess(t, conf)
	const (
		password = "-p (--password) asks for the password once, and gives it to sudo too"
		root     = "-x (--sudo) does it as root there"
		wait     = "; wait for it, or say -t (--no-lock-fail), which goes on with a warning, or -y (--no-lock), which takes no lock\n"
	)
	for _, by := range []string{"--direct", "--host-key=strict"} { // from here, and through the server
		for _, c := range []struct {
			args string
			code int
			says string
		}{
			{"exec -x -o web1 id -u", 0, "web1: 0\n"},
			{"exec -y -x -o web1 x=$(id -u); echo $x", 0, "web1: 0\n"},
			{"exec -y -x --env A=b -o web1 echo $A", 0, "web1: b\n"},
			{"upload -x -o web1 -r /srv " + file, 0, "1 entry to /srv on 1 host"},
			{"exec --dir /nope -o web1 pwd", 1, "web1: there is no directory /nope\n"},
			{"exec --dir /srv/closed -y -o bob@web2 pwd", 1, "bob@web2: the directory /srv/closed is not open to bob\n"},
			{"upload -e -r /etc -o bob@web2 " + file, 1, "/etc may not be written to by bob; " + root + "\n"},
			{"upload -e -r /etc/new -o bob@web2 " + file, 1, "mkdir: cannot create directory '/etc/new': Permission denied; " + root + "\n"},
			{"upload -y -e -r /etc/new -o bob@web2 " + file, 1, "mkdir: cannot create directory '/etc/new': Permission denied; " + root + "\n"},
			{"exec -x -o ann@web1 true", 1, "sudo refused: there is no sudo on the host; log in as root\n"},
			{"exec -x -o bob@web2 true", 1, "sudo refused: sudo: a password is required; " + password + "\n"},
			{"exec -x -y -o bob@web2 true", 1, "exit 1; " + password + "\n"},
			{"exec -x -y -w -o bob@web2 true", 1, "exit 1; " + password + "\n"},
		} {
			words := strings.Fields(c.args)
			code, out, errs := jarvis(t, "", append([]string{"--config", conf, words[0], by}, words[1:]...)...)
			if code != c.code || !strings.Contains(out+errs, c.says) {
				t.Errorf("%s %s: exit %d\n%s%swant %d %s", by, c.args, code, out, errs, c.code, c.says)
			}
		}
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var out, errs real.Buffer
	done := make(chan int)
	go func() {
		done <- run(ctx, []string{"--config", conf, "lock", "--direct", "-o", "web2"}, strings.NewReader(""), &out, &errs)
	}()
	until(t, real.Patience(time.Minute), "the lock is held", func() bool { return strings.Contains(out.String(), "locked") })
	for args, says := range map[string]string{
		"exec --direct -o web2 true":              wait,
		"exec -o web2 true":                       wait,
		"upload --direct -o web2 -r /srv " + file: wait,
		"lock -o web2":                            "is locked by process ",
	} {
		code, out, errs := jarvis(t, "", append([]string{"--config", conf}, strings.Fields(args)...)...)
		if code != 1 || !strings.Contains(errs, says) || strings.HasPrefix(args, "lock") && strings.Contains(errs, "-y") {
			t.Errorf("%s: exit %d\n%s%swant %s", args, code, out, errs, says)
		}
	}
	end()
	<-done
}

// What a line is refused for, read aloud: the library's own texts, flags that do nothing, and letters taken for others.
func TestOddLinesAreRefusedInWords(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("HOME", t.TempDir())
	local(t, "mkdir web1 web2 web3; echo web1 web2 > two")
	for args, says := range map[string]string{
		"exec -o h":                 "no command is given, as in `jarvis exec -o HOST uptime`",
		"exec -o h -C":              "no command is given, as in `jarvis exec -o HOST uptime`",
		"upload -o h":               "no files are named, as in `jarvis upload -o HOST -r / /etc/motd`",
		"fetch -o h":                "no files are named, as in `jarvis fetch HOST:/etc/motd`",
		"exec -b -o h true":         "jarvis: unknown flag -b; `jarvis help exec` lists its flags\n",
		"exec -d 0 -o h true":       "-d (--threads) is how many hosts are logged in to at once: it is 1 or more, not 0",
		"exec -d -3 -o h true":      "--threads takes a whole number, and not \"-3\"; `jarvis help exec`",
		"exec -S hosts -x":          "-S (--sync) makes this a line of orgalorg's, which is a `sync`; its flags end at the first file, so -x would be one: put it before hosts. A list of hosts on stdin is -s\n",
		"exec -o h --lock hostname": "-L (--lock) makes this a line of orgalorg's, which is a `lock` and does nothing with \"hostname\"; a file that is locked is named by --lock-file FILE\n",
		"lock --json -o h":          "--json does nothing with `lock`: it prints no output of hosts; leave it out",
		"lock -q -o h":              "-q (--quiet) does nothing with `lock`",
		"lock -z 1 -o h":            "-z (--recv-timeout) does nothing with `lock`: it runs no command that could take long",
		"lock --group -o h":         "--group does nothing with `lock`",
		"lock -y -o h":              "-y (--no-lock) does nothing with `lock`: no lock is taken then",
		"lock -t -o h":              "-t (--no-lock-fail) does nothing with `lock`: no lock is held then",
		"exec -L -t -o h":           "--no-lock-fail: no lock is held then; leave out -t, or -L",
		"--server https://x.invalid exec --direct -o web1 true": "--direct asks no server, and --server names one; leave out one of them",
		"exec --direct -L -qz 5 -o 127.0.0.1:1":                 "127.0.0.1:1: unreachable", // as orgalorg's, where it does nothing
		"upload --group -o h f":                                 "--group does nothing with `upload`",
		"exec -o h -i . true":                                   ". is a directory; what a command reads is a file, or - for what comes in",
		"exec -o h --env 1A=1 true":                             "--env takes NAME=VALUE, and \"1A\" is no name of a variable",
		"exec uptime -o h":                                      "no hosts are given: -o and -s stand after the command here, and are words of it",
		"exec -o web1 web2 web3 uptime":                         "web2 follows -o web1, and both are names of files here: the shell has expanded a pattern like web[1-3]; quote it, as in -o 'web[1-3]'",
		"upload -o web1 web2 -r up f":                           "f does not stand beside the other files of `upload`: they stand together, before the flags or after them; a pattern of hosts is quoted",
		"fetch -r two h:/y":                                     "-r two is a file here; what is fetched goes into a directory",
		"fetch --lock-file /x h:/y":                             "--lock-file does nothing with `fetch`: it locks nothing",
	} {
		code, out, errs := jarvis(t, "", strings.Fields(args)...)
		if code == 0 || !strings.Contains(errs, says) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: exit %d %s\n%s\twant %s", args, code, out, errs, says)
		}
	}
}
