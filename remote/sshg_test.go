package remote_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/remote"
)

// shapes are configuration files as people have them, each with the hosts to look at. DIR is the folder of the file.
var shapes = []struct {
	name, text string
	hosts      string
}{
	{"nothing", "", "web1 WEB2 192.0.2.1"},
	{"comments and blank lines", "# one\n\n   # two\nHost a # three\n  Port 1\n", "a b"},
	{"tabs and no indent", "Host a\nPort 1\nHost\tb\n\t\tPort\t2\n", "a b c"},
	{"equals signs", "Host=a\n  Port=1\n  User = bob\nHost b\n  Port =2\n", "a b"},
	{"small and capital letters", "HOST a\n pOrT 1\n  USER x\n", "a A"},
	{"carriage returns", "Host a\r\n  Port 1\r\n  HostName b.example.org\r\n", "a"},
	{"the first value counts", "Host a\n Port 1\n Port 2\nHost *\n Port 3\n User all\n", "a b"},
	{"defaults at the top win", "User top\nHost a\n User a\n", "a b"},
	{"several patterns", "Host web* db? !web9 exact\n User x\n", "web1 web9 db1 db10 exact other"},
	{"negation first", "Host !bad.example.org *.example.org\n User x\n", "bad.example.org good.example.org example.org"},
	{"only a negation", "Host !a\n User x\n", "a b"},
	{"host name with a token", "Host *.int\n HostName %h.example.org\n", "a.int"},
	{"host name with a percent", "Host a\n HostName x%%y\n", "a"},
	{"addresses", "Host v6\n HostName 2001:db8::1\nHost 192.0.2.*\n User net\n", "v6 192.0.2.7 2001:db8::5"},
	{"identity files add up", "Host a\n IdentityFile ~/.ssh/one\nHost *\n IdentityFile ~/.ssh/two\n IdentityFile ~/.ssh/one\n", "a b"},
	{"identity file with a blank", "Host a\n IdentityFile \"~/my keys/one\"\nHost b\n IdentityFile '~/my keys/two'\nHost c\n IdentityFile ~/my\\ keys/three\n", "a b c"},
	{"identity file none", "Host a\n IdentityFile none\n", "a b"},
	{"identity file with tokens", "IdentityFile ~/.ssh/%h_%r_%n_%p_%u_%L\n", "a"},
	{"identities only", "Host a\n IdentitiesOnly yes\nHost b\n IdentitiesOnly no\nHost *\n IdentitiesOnly yes\n", "a b c"},
	{"identity agent", "Host a\n IdentityAgent ~/agent.sock\nHost b\n IdentityAgent none\nHost c\n IdentityAgent $SOME_SOCK\nHost d\n IdentityAgent SSH_AUTH_SOCK\n", "a b c d e"},
	{"certificates", "Host a\n CertificateFile ~/.ssh/a-cert.pub\n CertificateFile ~/.ssh/b-cert.pub\n", "a b"},
	{"jump", "Host in*\n ProxyJump me@jump:2200\n", "in1 out"},
	{"jumps", "Host a\n ProxyJump one,two:22\n", "a"},
	{"jump none", "Host jump\n ProxyJump none\nHost *\n ProxyJump jump\n", "jump a"},
	{"jump before command", "Host a\n ProxyJump j\n ProxyCommand nc %h %p\n", "a"},
	{"command before jump", "Host a\n ProxyCommand nc %h %p\n ProxyJump j\n", "a"},
	{"command none before jump", "Host a\n ProxyCommand none\nHost *\n ProxyJump j\n", "a b"},
	{"command with quotes", "Host a\n ProxyCommand ssh -W \"[%h]:%p\" 'gate way' # not a comment\n", "a"},
	{"known hosts of its own", "Host a\n UserKnownHostsFile ~/.ssh/a ~/.ssh/b\n GlobalKnownHostsFile /etc/x\nHost b\n UserKnownHostsFile /dev/null\n", "a b c"},
	{"alias", "Host a\n HostKeyAlias real\n", "a b"},
	{"timeouts", "Host a\n ConnectTimeout 7\nHost b\n ConnectTimeout 1m30s\nHost c\n ConnectTimeout none\n", "a b c d"},
	{"address family", "Host a\n AddressFamily inet\nHost b\n AddressFamily inet6\nHost c\n AddressFamily any\n", "a b c d"},
	{"match host after host name", "Host a\n HostName b.example.org\nMatch host b.example.org\n User m\n", "a b.example.org"},
	{"match originalhost", "Host a\n HostName b\nMatch originalhost a\n User m\n", "a b"},
	{"match user", "Match user root\n Port 1\nHost a\n User root\nMatch user root\n Port 2\n", "a b"},
	{"match with a list", "Match host a,b*,!bad\n Port 1\n", "a b1 bad c"},
	{"match all", "Match all\n Port 1\n", "a"},
	{"match negated", "Match !host a\n Port 1\n", "a b"},
	{"match exec", "Match exec \"test %h = a\"\n Port 1\nMatch !exec \"true\"\n Port 2\nMatch host b exec \"exit 0\"\n Port 3\n", "a b c"},
	{"match final", "Match final host a\n Port 1\nHost *\n User x\n Port 2\nMatch final\n IdentityFile ~/f\n", "a b"},
	{"match tagged nothing", "Match localuser root\n Port 1\nMatch localuser nobody\n Port 2\n", "a"},
	{"include", "Include DIR/more/*.conf\nHost a\n Port 2\n", "a b inc"},
	{"include below a host", "Host a\n Include DIR/more/b.conf\n User after\nHost *\n User all\n", "a b inc"},
	{"include nothing", "Include DIR/none/*.conf DIR/missing\nHost a\n Port 1\n", "a"},
	{"words that nobody follows", "Host a\n ForwardAgent yes\n ServerAliveInterval 5\n ControlMaster auto\n ControlPath ~/.ssh/%C\n LocalForward 8080 localhost:80\n SendEnv LANG LC_*\n StrictHostKeyChecking ask\n SetEnv A=b\n LogLevel QUIET\n Port 3\n", "a"},
	{"words that nobody knows", "IgnoreUnknown Use*\nHost a\n UseKeychain yes\n Port 3\n", "a"},
}

// TestEachShapeAsSSHReadsIt compares with `ssh -G`, which tells what OpenSSH makes of the same file.
func TestEachShapeAsSSHReadsIt(t *testing.T) {
	keys := []string{"hostname", "port", "user", "identityfile", "certificatefile", "identitiesonly", "identityagent", "proxyjump", "proxycommand",
		"userknownhostsfile", "globalknownhostsfile", "hostkeyalias", "connecttimeout", "addressfamily"}
	t.Setenv("SOME_SOCK", "/run/agent.sock")
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "config")
			for name, text := range map[string]string{
				"config":      strings.ReplaceAll(shape.text, "DIR", dir),
				"more/a.conf": "Host inc\n HostName 192.0.2.9\n User inc\nHost a\n Port 1\n",
				"more/b.conf": "Port 7\nHost b\n User b\n",
			} {
				name = filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c, err := remote.LoadSSHConfig(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, host := range strings.Fields(shape.hosts) {
				out, err := exec.Command("ssh", "-F", file, "-G", host).CombinedOutput()
				if err != nil {
					t.Fatalf("ssh -G %s: %v: %s", host, err, out)
				}
				want := map[string][]string{}
				for l := range strings.Lines(string(out)) {
					k, v, _ := strings.Cut(strings.TrimRight(l, "\n"), " ")
					want[k] = append(want[k], v)
				}
				got, err := c.Said(host, "")
				if err != nil {
					t.Fatalf("%s: %v", host, err)
				}
				for _, k := range keys {
					if !slices.Equal(got[k], want[k]) {
						t.Errorf("%s of %s is %q, ssh has %q", k, host, got[k], want[k])
					}
				}
			}
		})
	}
}
