package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
)

// orgalorgCase is a command line of orgalorg's tests (tests/testcases) or of its README, as a shell reads it, and what
// they expect. `orgalorg` is `jarvis exec` there, and `with_key` is orgalorg with its user, three hosts and a key, as
// in its tests.
type orgalorgCase struct {
	line  string
	fails bool
	out   []string // regular expressions, each of which is on stdout
	errs  []string // the same of stderr
	there string   // a script that is then run inside each host, and must succeed
}

// Its README writes `host line` where we write `host: line`: ips below stands for "127.…: ".
var orgalorgCases = []orgalorgCase{
	// can-skip-unreachable-servers-if-flag-is-given: a host that is left out is a failure here.
	{line: "with_key -o 127.116.0.99 -C whoami", fails: true, errs: []string{"127.116.0.99: unreachable"}},
	{line: "with_key -o 127.116.0.99 -w -C whoami", fails: true, out: []string{"^127.116.0.1: orgalorg$", "^127.116.0.3: orgalorg$"}, errs: []string{"127.116.0.99: unreachable"}},
	// commandline
	{line: "orgalorg -C echo blah", fails: true, errs: []string{"no hosts are given"}},
	{line: "orgalorg -o ./blah -C echo blah", fails: true, errs: []string{"open ./blah: no such file or directory"}},
	{line: "orgalorg -o blah --send-timeout=wazup -C echo dunno", fails: true, errs: []string{`--send-timeout: "wazup" is no time`}},
	{line: "orgalorg -o blah --recv-timeout=wazup -C echo dunno", fails: true, errs: []string{`--recv-timeout: "wazup" is no time`}},
	{line: "orgalorg -o blah --conn-timeout=wazup -C echo dunno", fails: true, errs: []string{`--conn-timeout: "wazup" is no time`}},
	{line: "orgalorg -o blah --keep-alive=wazup -C echo dunno", fails: true, errs: []string{`--keep-alive: "wazup" is no time`}},
	{line: "with_key -o ./hosts -C echo hello | wc -l", out: []string{"^3$"}},
	// commands
	{line: "with_key -e -C echo 1 '&&' exit 1", fails: true, out: []string{"^127.116.0.2: 1$"}, errs: []string{"3 of 3 hosts failed", "exit 1"}},
	{line: `with_key -e -C echo '"two  spaces"'`, out: []string{"^127.116.0.1: two  spaces$"}},
	{line: "with_key -C -- wc -l", out: []string{"^127.116.0.1: 0$", "^127.116.0.3: 0$"}},
	{line: "with_key -C -i <(echo 1) -- wc -l", out: []string{"^127.116.0.1: 1$", "^127.116.0.3: 1$"}},
	{line: "with_key -e -C pwd", out: []string{"^127.116.0.1: /home/orgalorg$"}},
	{line: "with_key -C -- echo -n 1 '&&' echo 2", out: []string{"^127.116.0.1: 12$"}},
	{line: `with_key -e -C echo "'1'"`, out: []string{"^127.116.0.1: 1$"}},
	{line: `with_key -e -C echo "\\'"`, out: []string{"^127.116.0.1: '$"}},
	{line: "with_key -e -C exit 17", fails: true, errs: []string{"3 of 3 hosts failed", "exit 17"}},
	{line: "with_key -C -- pwd", out: []string{"^127.116.0.1: /home/orgalorg$"}},
	{line: "with_key -r /tmp -C -- pwd", out: []string{"^127.116.0.1: /tmp$", "^127.116.0.3: /tmp$"}},
	{line: "with_key -C seq 1 10000 | awk '{print $1}' | sort | uniq | wc -l", out: []string{"^3$"}},
	// newlines
	{line: "with_key -C -- echo -n hello | wc -l", out: []string{"^3$"}},
	{line: "with_key -q -C -- echo -n hello", out: []string{`\Ahellohellohello\z`}},
	// sudo
	{line: "with_key -C 'whoami'", out: []string{"^127.116.0.1: orgalorg$"}},
	{line: "with_key -x -C 'whoami'", out: []string{"^127.116.0.1: root$"}},
	{line: "with_key --sudo -e -r / -U test-file", there: "cmp /test-file /expected; rm /test-file"},
	{line: "with_key -x -C 'whoami' '&&' 'echo' '$HOME'", out: []string{"^127.116.0.1: root$", "^127.116.0.1: /root$"}},
	// sync
	{line: "with_key -exmn 'true' -S test-file; with_key -q -C 'cmp /var/run/orgalorg/*/test-file /expected && echo the same'", out: []string{"the same\nthe same\nthe same\n"}},
	{line: "with_key -emn 'echo 1:$1 2:$2' --arg first --arg second -r /tmp -S test-file", out: []string{"^127.116.0.2: 1:first 2:second$"}},
	{line: "tool 'echo 1: $1; echo 2: $2'; with_key -g -a -g -b -e -r /home/orgalorg/ -S test-file", out: []string{"^127.116.0.1: 1: -a$", "^127.116.0.1: 2: -b$"}},
	{line: "with_key -en 'rm ~/dir/test-file' -r /home/orgalorg/ -S dir", there: "! test -e /home/orgalorg/dir/test-file; cmp /home/orgalorg/dir/another-file /another; rm -r /home/orgalorg/dir"},
	{line: "with_key -emn 'rm ~/dir/test-file' -r /home/orgalorg/ -S dir", there: "! test -e /home/orgalorg/dir/test-file; cmp /home/orgalorg/dir/another-file /another; rm -r /home/orgalorg/dir"},
	{line: `tool "$steps"; with_key -e -r /home/orgalorg/ -S test-file | grep -o 'PHASE .*' | uniq | wc -l`, out: []string{"^2$"}},
	{line: "with_key -e -r /home/orgalorg/ -U dir", there: "cmp /home/orgalorg/dir/test-file /expected; cmp /home/orgalorg/dir/another-file /another; rm -r /home/orgalorg/dir"},
	{line: "with_key -r /home/orgalorg/ -U dir", there: "cmp /home/orgalorg/$HERE/dir/test-file /expected"},
	{line: "with_key -e  -r /home/orgalorg/ -U test-file", there: "cmp /home/orgalorg/test-file /expected; rm /home/orgalorg/test-file"},
	{line: "with_key -e -r /home/orgalorg/ -U test-file another-file", there: "cmp /home/orgalorg/test-file /expected; cmp /home/orgalorg/another-file /another"},
	{line: `with_key -e -n "ls" -r /tmp -S test-file`, out: []string{"^127.116.0.1: test-file$"}},
	{line: "with_key -v -e -r /home/orgalorg/ -U dir", errs: []string{"sending dir/test-file", "sending dir/another-file"}},
	{line: "tool \"sed -un '/HELLO/{p;q}'\"; with_key -e -r /home/orgalorg/ -S test-file", out: []string{"^127.116.0.1: ORGALORG:.* HELLO$"}},
	{line: "tool \"sed -un '/NODE/p;/START/q'\"; with_key -e -r /home/orgalorg/ -S test-file", out: []string{`^127.116.0.1: .*NODE \[orgalorg@127.116.0.1:22\] CURRENT$`, `^127.116.0.1: .*NODE \[orgalorg@127.116.0.2:22\]$`}},
	{line: "tool 'echo XXX >&2'; with_key -e -r /home/orgalorg/ -S test-file", errs: []string{"^127.116.0.1: XXX$"}},
	// verbosity: what hosts say stays where it was, and keeps its form.
	{line: `with_key -v -C -- echo 1 \; echo err\>\&2`, out: []string{"^127.116.0.1: 1$"}, errs: []string{"^127.116.0.1: err$", "connecting to 127.116.0.1: orgalorg@127.116.0.1:22"}},
	{line: "with_key -C pwd", out: []string{"^127.116.0.1: /home/orgalorg$"}},
	{line: "with_key --json -C pwd", out: []string{`"stream":"stdout"`, `"node":"127.116.0.1"`, `"body":"/home/orgalorg"`}},
	{line: "with_key --json -vv -C pwd", out: []string{`"body":"/home/orgalorg"`}, errs: []string{"connecting to", "connected to 3 hosts, and locked"}},
	{line: "with_key -vv -C pwd", out: []string{"/home/orgalorg"}, errs: []string{"connecting to"}},
	{line: "with_key --json -o 127.116.0.99 -C pwd", fails: true, errs: []string{"nothing was done: 127.116.0.99: unreachable"}},
	{line: "with_key -q -C pwd", out: []string{"^/home/orgalorg$"}},
	{line: "with_key -o 127.116.0.99 -C pwd", fails: true, errs: []string{"nothing was done: 127.116.0.99: unreachable"}},
	// README
	{line: "orgalorg $hosts -C uptime", out: []string{"^127.116.0.1: .*load average"}},
	{line: "axfr | grep phpnode | orgalorg -s -C uptime", out: []string{"^phpnode1: .*load average", "^phpnode2: "}},
	{line: "orgalorg $hosts -x -C whoami", out: []string{"^127.116.0.1: root$"}},
	{line: "orgalorg $hosts -C tail -f /var/log/syslog | head -n 2", out: []string{"^127.116.0..: a line$"}},
	{line: "orgalorg $hosts -xn 'systemctl reload nginx' -S ~/nginx.conf", out: []string{"^127.116.0.1: reload nginx$"}},
	{line: "orgalorg $hosts -i script.bash -C bash", out: []string{"^127.116.0.1: a script of orgalorg$"}},
	{line: "orgalorg $hosts -lx -C pacman -Sy my-package --noconfirm", out: []string{"^127.116.0.1: root: -Sy my-package --noconfirm$"}},
	{line: "orgalorg $hosts -C sleep '$(($RANDOM % 2))' '&&' echo done", out: []string{"^127.116.0.1: done$"}},
	{line: "echo hostname | orgalorg $hosts -i /dev/stdin -C bash -s", out: []string{"^127.116.0.1: web1$", "^127.116.0.3: web3$"}},
	// What its usage lists, and neither tests nor README have.
	{line: "orgalorg -h", out: []string{"Usage: jarvis exec"}},
	{line: "orgalorg -V", out: []string{"^jarvis "}},
	{line: "with_key --color always --command -l -y -c 5000 -j 5000 -z 5000 -a 5000 -d 1 -n x -g -m -m echo '-C'", out: []string{"^127.116.0.1: -C$"}},
	{line: "with_key --shell '' -C -- echo '$0'", out: []string{"^127.116.0.1: .*bash$"}},
	{line: `with_key --shell "bash -c '{}'" -C -- echo "'\$BASH_VERSION it'\\''s'"`, out: []string{`^127.116.0.1: \$BASH_VERSION it's$`}},
	{line: "with_key --shell 'sh -c {}' -r /tmp -x -C 'echo $0 in $PWD'", out: []string{"^127.116.0.1: sh in /tmp$"}},
	{line: "with_key --shell '' -n 'echo $0:' -g -x -m -S --no-upload", out: []string{"^127.116.0.1: .*bash: -x$"}},
	{line: "with_key -C --env A=b --group -- echo '$A'", out: []string{`(?s)\A---- 127.116.0.1,127.116.0.2,127.116.0.3 \(3\)\nb\n\z`}},
	{line: "with_key --log-format=dark -C true", fails: true, errs: []string{"--log-format: .*leave it out"}},
	{line: "with_key --colors-light -C true", fails: true, errs: []string{"--colors-light: .*leave it out"}},
	{line: "with_key -C -L true", fails: true, errs: []string{"-C and -L are both given"}},
	{line: "with_key -U --no-upload test-file", fails: true, errs: []string{"--no-upload: it goes with -S"}},
	{line: "with_key -lS test-file", fails: true, errs: []string{"-l goes with --simple"}},
	{line: "with_key -C --sudoo whoami", fails: true, errs: []string{"unknown flag --sudoo"}},
	{line: "with_key -C ls -S -C -L -d /", out: []string{"^127.116.0.1: /$"}},
}

const orgalorgSteps = `read prefix message
nodes_count=$(sed -un '/NODE/p;/START/q' | wc -l)
sleep $((RANDOM%3))
echo PHASE 1
echo $prefix SYNC 1
for (( i = 0; i < nodes_count; i++ )); do
    read message
    echo GOT: $(cut -f2- -d' ' <<< $message)
done
echo PHASE 2
`

// TestOrgalorgsLines: whoever has scripts for orgalorg has them still.
func TestOrgalorgsLines(t *testing.T) {
	bin := buildJarvis(t)
	r := newRow(t, 3, 116)
	here := filepath.Join(r.home, "here")
	for name, text := range map[string]string{"test-file": "line1\nline2\n", "another-file": "line3\nline5\n", "dir/test-file": "line1\nline2\n", "dir/another-file": "line3\nline5\n", "script.bash": "echo a script of $(whoami)\n", "hosts": "127.116.0.1\n127.116.0.2\n127.116.0.3\n", "../nginx.conf": "x\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(here, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(here, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for i := 1; i <= 3; i++ {
		r.inside(t, i, `useradd -m -s /bin/bash orgalorg; echo orgalorg:tiger | chpasswd; mkdir -m 700 /home/orgalorg/.ssh; cp /root/.ssh/authorized_keys /home/orgalorg/.ssh/; chown -R orgalorg: /home/orgalorg
echo 'orgalorg ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/lab; chmod 440 /etc/sudoers.d/lab
printf 'line1\nline2\n' > /expected; printf 'line3\nline5\n' > /another; mkdir -p /var/log /usr/lib/orgalorg; printf 'a line\na line\na line\n' > /var/log/syslog
printf '#!/bin/sh\necho "$(whoami): $*"\n' > /usr/local/bin/pacman; printf '#!/bin/sh\necho "$*"\n' > /usr/local/bin/systemctl; chmod 755 /usr/local/bin/pacman /usr/local/bin/systemctl`)
	}
	config := filepath.Join(r.home, ".ssh", "config")
	text := must[[]byte](t)(os.ReadFile(config))
	if err := os.WriteFile(config, append([]byte("Host phpnode1\n  HostName 127.116.0.1\nHost phpnode2\n  HostName 127.116.0.2\nHost phpnode* 127.116.0.*\n  User orgalorg\n  IdentityFile ~/.ssh/id\n"), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	prelude := `cd ` + here + `
hosts='-o 127.116.0.1 -o 127.116.0.2 -o 127.116.0.3'
ips='-o127.116.0.1 -o127.116.0.2 -o127.116.0.3'
steps=$(cat <<'EOS'
` + orgalorgSteps + `EOS
)
orgalorg() { ` + bin + ` exec "$@"; }
with_key() { orgalorg -u orgalorg $ips -k ~/.ssh/id "$@"; }
axfr() { printf 'phpnode1\nmail1\nphpnode2\n'; }
tool() { for root in ` + r.hosts[0].Root + " " + r.hosts[1].Root + " " + r.hosts[2].Root + `; do printf '#!/bin/bash\n%s\n' "$1" > $root/usr/lib/orgalorg/sync; chmod 755 $root/usr/lib/orgalorg/sync; done; }
`
	for _, c := range orgalorgCases {
		t.Run(c.line, func(t *testing.T) {
			ended, out, errs := inBash(t, prelude+c.line)
			if (ended != nil) != c.fails {
				t.Errorf("%v", ended)
			}
			for _, want := range c.out {
				if !regexp.MustCompile("(?m)" + want).MatchString(out) {
					t.Errorf("stdout has no %s", want)
				}
			}
			for _, want := range c.errs {
				if !regexp.MustCompile("(?m)" + want).MatchString(errs) {
					t.Errorf("stderr has no %s", want)
				}
			}
			if c.errs == nil && errs != "" && !strings.Contains(c.line, "head -n") {
				t.Error("there is something on stderr")
			}
			if t.Failed() {
				t.Fatalf("%s%s", out, errs)
			}
			for i := 1; i <= 3 && c.there != ""; i++ {
				r.inside(t, i, "HERE="+here+"; "+c.there)
			}
		})
	}

	t.Run("-L holds the lock until Ctrl-C, as do those who then work", func(t *testing.T) {
		for _, root := range []string{"", " -r /etc"} {
			holder := exec.Command("bash", "-c", prelude+"exec "+bin+" exec -u orgalorg $ips -k ~/.ssh/id -L"+root)
			var said real.Buffer
			holder.Stdout, holder.Stderr = &said, &said
			if err := holder.Start(); err != nil {
				t.Fatal(err)
			}
			until(t, 20*time.Second, "the lock", func() bool { return strings.Contains(said.String(), "locked: 3 hosts") })
			for line, works := range map[string]bool{"with_key --lock" + root: false, "with_key -C" + root + " -- echo 1": false, "with_key -C -- echo 1": false, "with_key --no-lock-fail -C -- echo 1": true, "with_key -r /srv -C -- pwd": root != ""} {
				ended, out, errs := inBash(t, prelude+line)
				if (ended == nil) != works || !works && !strings.Contains(errs, "is locked by process") {
					t.Errorf("%s: %v\n%s%s", line, ended, out, errs)
				}
			}
			_ = holder.Process.Signal(syscall.SIGINT)
			_ = holder.Wait()
			if code := holder.ProcessState.ExitCode(); code != exitInterrupted {
				t.Errorf("exit %d: %s", code, said.String())
			}
		}
	})
	t.Run("-p and a passphrase are asked for on the terminal", func(t *testing.T) {
		locked := filepath.Join(r.home, "locked")
		if out, err := exec.Command("sh", "-ec", "cp ~/.ssh/id "+locked+" && chmod 600 "+locked+" && ssh-keygen -q -p -f "+locked+" -P '' -N theone").CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		ips := " -u orgalorg -o127.116.0.1 -o127.116.0.2 -o127.116.0.3"
		if out := onTerminal(t, bin+" exec"+ips+" -k "+locked+" -C -- whoami", "passphrase of", "theone"); strings.Count(out, ": orgalorg") != 3 {
			t.Error(out)
		}
		if out := onTerminal(t, bin+" exec"+ips+" -p -C -- whoami", "password:", "tiger"); strings.Count(out, ": orgalorg") != 3 {
			t.Error(out)
		}
		if out := onTerminal(t, bin+" exec"+ips+" -p -i "+locked+" -C tee -a .ssh/keys", "password:", "tiger"); !strings.Contains(out, "OPENSSH PRIVATE") {
			t.Error(out)
		}
	})
}

// inBash runs a script, and gives how it ended: nil when well.
func inBash(t *testing.T, script string) (ended *exec.ExitError, out, errs string) {
	t.Helper()
	cmd := exec.Command("bash", "-c", script)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(real.Patience(30*time.Second), func() { _ = cmd.Process.Kill() })
	defer stuck.Stop()
	if err := cmd.Wait(); err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return ended, stdout.String(), stderr.String()
}
