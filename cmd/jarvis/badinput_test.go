package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/config"
	"github.com/jarvisops/jarvis/lab"
)

// loadedApp wires an app on a configuration text.
func loadedApp(t *testing.T, dir, text string) *app {
	t.Helper()
	conf, err := config.Parse(filepath.Join(dir, "jarvis.yaml"), []byte(text), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	a, err := newApp(t.Context(), conf, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)
	return a
}

const head = "instance:\n  hostname: loki\n  fqdn: loki.websages.com\n"

// TestBadInputIsRefusedInOneLine gives what people do wrong: each is answered by one clear line, and nothing starts.
func TestBadInputIsRefusedInOneLine(t *testing.T) {
	w := must[*lab.World](t)(lab.Start(t.Context(), lab.Options{Block: 80, Port: must[int](t)(freePort())}))
	t.Cleanup(w.Stop)
	dir := t.TempDir()
	bodies := map[string]string{
		"/ok":         lab.Clipboard("ok"),
		"/large":      "x: " + strings.Repeat("y", 70<<10),
		"/page":       "<!DOCTYPE html>\n<html><head><title>gist</title></head><body>instance:</body></html>",
		"/prose":      "Hello, I would like a host please",
		"/binary":     "\x00\x01\x02",
		"/quote":      "instance:\n  hostname: loki\n  gitosis-admin: 'git@x:gitosis-admin.git\n  sshpubkey: ssh-dss AAAA x\n",
		"/tab":        "instance:\n\thostname: loki\n",
		"/colon":      "instance:\n  hostname: loki: x\n",
		"/bracket":    "instance:\n  hostname: [loki\n",
		"/duplicate":  head + "  hostname: thor\n",
		"/two":        head + "---\n" + head,
		"/laughs":     "a: &a [x]\nb: &b [*a,*a]\n" + head,
		"/empty":      "",
		"/list":       "- a\n- b\n",
		"/noinstance": "hostname: loki\nprovider: ESX\n",
		"/cluster":    "cluster: ab\ninstances:\n  - {hostname: a}\n",
		"/nohost":     "instance:\n  provider: ESX\n",
		"/noprovider": head,
		"/provider":   head + "  provider: Azure\n",
		"/typo":       head + "  provider: ESXX\n",
		"/linode":     head + "  provider: Linode\n",
		"/badhost":    "instance:\n  hostname: loki_1\n  provider: ESX\n",
		"/inject":     "instance:\n  hostname: \"loki; reboot\"\n  provider: ESX\n",
		"/newline":    "instance:\n  hostname: \"loki\\nreboot\"\n  provider: ESX\n",
		"/fqdn":       "instance:\n  hostname: loki\n  fqdn: thor.websages.com\n  provider: ESX\n",
		"/dsa":        head + "  provider: ESX\n  sshpubkey: ssh-dss AAAAB3NzaC1kc3MAAACBAL x\n",
		"/nokey":      head + "  provider: ESX\n  sshpubkey: hello\n",
		"/hostlist":   "instance:\n  hostname: [a, b]\n  provider: ESX\n",
		"/nostep":     head + "  provider: ESX\nsteps: [esx:deploi]\n",
		"/nomodule":   head + "  provider: ESX\nsteps: [deploy]\n",
		"/path":       head + "  provider: ESX\nsteps: [\"../evil:run\"]\n",
		"/needs":      head + "  provider: ESX\nsteps: [\"dns:update_host\"]\n",
		"/order":      head + "  provider: ESX\nsteps: [\"ssh:wait\", \"keys:create\", \"esx:deploy\", \"esx:get_pub_ip\"]\n",
		"/nofqdn":     "instance:\n  hostname: loki\n  provider: ESX\n",
		"/steps":      head + "  provider: ESX\nsteps: {a: b}\n",
		"/both":       head + "  provider: ESX\nsteps: [a:b]\nactions: [a:b]\n",
		"/given":      head + "  provider: ESX\n  ipaddress: 192.0.2.1\n",
		"/own":        head + "  provider: ESX\nsteps: [\"keys:create\"]\n",
		"/commands":   head + "  provider: ESX\n  commands: [reboot]\n",
		"/repos":      head + "  provider: ESX\n  repos: [ops/secrets]\n",
		"/secretlist": head + "  provider: ESX\n  x: !secret [a]\n",
		"/sealed":     head + "  provider: ESX\n  x: !sealed YWdlLWVuY3J5cHRpb24\n",
	}
	var srv *httptest.Server
	srv = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(rw, r, "http://198.51.100.1/evil", http.StatusFound)
		case "/loop":
			http.Redirect(rw, r, srv.URL+"/loop", http.StatusFound)
		case "/error":
			http.Error(rw, "no", http.StatusInternalServerError)
		case "/slow":
			select {
			case <-r.Context().Done():
			case <-time.After(30 * time.Second):
			}
		default:
			b, ok := bodies[r.URL.Path]
			if !ok {
				http.NotFound(rw, r)
				return
			}
			_, _ = rw.Write([]byte(b))
		}
	}))
	t.Cleanup(srv.Close)
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	a := loadedApp(t, dir, w.Config(filepath.Join(dir, "data"), fmt.Sprintf("sources: {urls: [%q]}\n", srv.URL+"/")))

	alice := access.Person{Name: "alice", Roles: []string{access.Deploy}}
	root := access.Person{Name: "root", Roles: []string{access.Admin}}
	// One host is being deployed already; its engine does not run, so it stays.
	if _, err := a.table.Do(t.Context(), command.Call{Words: []string{"deploy", srv.URL + "/ok"}, Person: alice}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from string // path on the server, or a whole argument
		who  access.Person
		want string
	}{
		{"/quote", alice, "line 3, column 18: this quote is never closed"},
		{"/tab", alice, "line 2, column 1: there is a tab here (indent with spaces)"},
		{"/colon", alice, "line 2, column 17: a colon is not allowed here"},
		{"/bracket", alice, "this [ is never closed"},
		{"/duplicate", alice, `line 4, column 3: the key "hostname" is here a second time; the first is in line 2`},
		{"/two", alice, "more than one YAML document"},
		{"/laughs", alice, "an anchor may not contain an alias"},
		{"/empty", alice, "the clipboard is empty"},
		{"/list", alice, "this is not a clipboard"},
		{"/prose", alice, "this is not a clipboard"},
		{"/binary", alice, "there is a NUL byte here"},
		{"/page", alice, "this is a web page, not YAML (give the address of the raw text)"},
		{"/noinstance", alice, "the key `instance` is missing (indent hostname"},
		{"/cluster", alice, "host 1 (a): \"provider\" is missing"},
		{"/nohost", alice, `"hostname" is missing`},
		{"/noprovider", alice, `"provider" is missing`},
		{"/provider", alice, `I know no provider "Azure"; there is ESX`},
		{"/typo", alice, `I know no provider "ESXX"; there is ESX`},
		{"/linode", alice, "the provider Linode is not configured here; there is ESX"},
		{"/badhost", alice, `"loki_1" is not a host name`},
		{"/inject", alice, `"loki; reboot" is not a host name`},
		{"/newline", alice, `"loki\nreboot" is not a host name`},
		{"/fqdn", alice, `does not start with the hostname "loki"`},
		{"/dsa", alice, "OpenSSH refuses DSA keys since 7.0; give an ed25519 or rsa key"},
		{"/nokey", alice, "this is not an SSH public key"},
		{"/hostlist", alice, `"hostname" must be a single value`},
		{"/nostep", root, `no worker here offers the step "esx:deploi"; did you mean "esx:deploy"?`},
		{"/nomodule", root, "a step is written module:task"},
		{"/path", root, "a step is written module:task"},
		{"/needs", root, `dns:update_host needs "ipaddress", which is neither in the clipboard nor given by a step before it`},
		{"/order", root, "ssh:wait needs \"ipaddress\", which is neither in the clipboard nor given by a step before it; esx:get_pub_ip gives it, but comes later"},
		{"/nofqdn", alice, `dns:update_host needs "fqdn"`},
		{"/steps", root, `"steps" must be a list`},
		{"/both", root, "there are both `steps` and `actions`"},
		{"/given", alice, `the key "ipaddress" is for steps to give`},
		{"/own", alice, `brings its own steps, which needs the role "run"`},
		{"/commands", alice, `brings its own commands (commands), which needs the role "run"`},
		{"/repos", alice, `lets its host read the repository "ops/secrets", which needs the role "run"`},
		{"/secretlist", alice, "`!secret` takes a single value"},
		{"/sealed", root, "holds a `!sealed` value, which only the record may"},
		{"/ok", alice, "ok is held by run 1: running at stage 1/12 keys:create, by alice"},
		{"/large", alice, "has more than 64 KiB"},
		{"/nothing", alice, "there is nothing at"},
		{"/error", alice, "answered 500"},
		{"/away", alice, "sends me on to 198.51.100.1, which is not on my list"},
		{"/loop", alice, "sends me on more than 5 times"},
		{"/slow", alice, "took longer than 10s"},
		{other.URL + "/x", alice, "I do not fetch from"},
		{"https://evil.example.org/x", alice, "I do not fetch from"},
		{"http://169.254.169.254/latest/meta-data", alice, "I do not fetch from"},
		{"https://gist.github.com@evil.example.org/", alice, "I do not fetch from"},
		{"http://[::1", alice, "is not a URL"},
		{"ftp://x/y", alice, "is neither a URL nor cn=NAME"},
		{"loki.yaml", alice, "is neither a URL nor cn=NAME"},
		{"/etc/passwd", alice, "there is nothing at"},
		{"cn=nobody", alice, `there is no host "nobody" in the directory`},
		{"cn=*)(objectClass=*", alice, "there is no host"},
		{"/ok", access.Person{Name: "victor", Roles: []string{access.View}}, "`deploy` needs the role \"deploy\", which victor does not have"},
		{"/ok", access.Person{}, "and I do not know you"},
	} {
		arg := c.from
		if strings.HasPrefix(arg, "/") {
			arg = srv.URL + arg
		}
		t.Run(c.from+" by "+c.who.Name, func(t *testing.T) {
			t.Parallel()
			_, err := a.table.Do(context.Background(), command.Call{Words: []string{"deploy", arg}, Person: c.who})
			if err == nil {
				t.Fatal("it was taken")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("answer: %s\nwant:   %s", err, c.want)
			}
			if strings.ContainsAny(err.Error(), "\n\r") || len(err.Error()) > 500 || strings.Contains(err.Error(), "on my side") {
				t.Errorf("that is not one clear line: %q", err)
			}
		})
	}
	t.Cleanup(func() {
		live := must[[]any](t)(func() ([]any, error) {
			list, err := a.engine.Hosts(context.Background(), "", 10)
			var out []any
			for _, r := range list {
				out = append(out, r)
			}
			return out, err
		}())
		if len(live) != 1 {
			t.Errorf("something started: %v", live)
		}
	})
}

// TestABrokenWorldFailsInOneLine has the servers refuse: each step says in one line what failed, on what, and why.
func TestABrokenWorldFailsInOneLine(t *testing.T) {
	w := must[*lab.World](t)(lab.Start(t.Context(), lab.Options{Block: 81, Port: must[int](t)(freePort())}))
	t.Cleanup(w.Stop)
	dir := t.TempDir()
	ext := filepath.Join(dir, "workers.d")
	if err := os.Mkdir(ext, 0o755); err != nil {
		t.Fatal(err)
	}
	script := `#!/bin/sh
case $1 in
--steps) exit 1 ;;
half) head -n 2 ;;
cut) printf 'instance:\n  hostname: "lo' ;;
garbage) printf '\001\002 not yaml: [' ;;
hang) echo thinking >&2; sleep 1000 & sleep 1000 ;;
signal) echo bye >&2; kill -SEGV $$ ;;
fail) echo first >&2; echo the disk is on fire >&2; exit 3 ;;
mute) exit 9 ;;
other) sed s/loki/thor/ ;;
huge) yes x ;;
twice) cat; echo "  hostname: again" ;;
esac
`
	for name, text := range map[string]string{"bad": script, "plain": "#!/bin/sh\n", "nointerp": "#!/no/such/interpreter\n", "table": "#!/bin/sh\necho '- {name: table:go, resume: sometimes}'\n",
		"quick": "#!/bin/sh\n[ $1 = --steps ] && echo '- {name: quick:hang, timeout: 1s}' || sleep 1000\n"} {
		if err := os.WriteFile(filepath.Join(ext, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(ext, "plain"), 0o644); err != nil {
		t.Fatal(err)
	}
	good := w.Config(filepath.Join(dir, "data"), fmt.Sprintf("  external: {dir: %q, timeout: 2s}\n", ext))
	key := "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHmsXB8UmyDRG5BtT69cTBkmSITs9hRTGAwgwpCA5frO"
	full := head + "  provider: ESX\n  guestid: Debian 12\n  hostkey_first: " + key + "\n  hostkey_private: x\n  root_password_hash: x\n  jarvis_pubkey: " + key + "\n  ipaddress: 127.81.200.1\n  hostkeys: [" + key + "]\n  provider_id: vm-9999\n"

	// A host whose key is another one.
	other := must[*lab.Sandbox](t)(lab.StartSandbox(fmt.Sprintf("127.81.200.9:%d", w.Port), sandboxData(t)))
	t.Cleanup(other.Stop)

	type change struct{ old, new string }
	for _, c := range []struct {
		name, step string
		conf       change
		clip       change
		want       string
	}{
		{"TSIG secret wrong", "dns:update_host", change{lab.TSIGSecret, "d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmch"}, change{}, `has another secret for the key "jarvis-key" (BADSIG); check workers.dns.tsig.secret`},
		{"TSIG key unknown", "dns:update_host", change{"name: " + lab.TSIGName, "name: nobody"}, change{}, `does not know the key "nobody"`},
		{"DNS down", "dns:update_host", change{w.DNS.Addr, "127.0.0.1:1"}, change{}, "ask the DNS server 127.0.0.1:1: "},
		{"no such zone", "dns:update_host", change{}, change{"loki.websages.com", "loki.example.net"}, "has no zone for loki.example.net"},
		{"address no address", "dns:update_host", change{}, change{"127.81.200.1", "loki"}, `"ipaddress" must be an IP address, not "loki"`},
		{"LDAP down", "ldap:update_host_ou", change{w.Directory.URL, "ldap://127.0.0.1:1"}, change{}, "the directory 127.0.0.1:1 does not answer: "},
		{"LDAP password wrong", "ldap:update_host_ou", change{lab.BindPassword, "wrongpw"}, change{}, "wrong password or no such entry"},
		{"vCenter down", "esx:deploy", change{w.VSphere.URL, "https://user:pass@127.0.0.1:1/sdk"}, change{}, "connect to 127.0.0.1:1: "},
		{"vCenter's certificate unknown", "esx:deploy", change{"insecure: true", "insecure: false"}, change{}, "not signed by a CA we know; set workers.esx.ca"},
		{"template missing", "esx:deploy", change{"Debian 12: " + lab.Template, "Debian 12: debian13"}, change{}, `the template "debian13" is not on`},
		{"no template for the guest", "esx:deploy", change{"Debian 12: " + lab.Template, "Debian 13: " + lab.Template}, change{}, `workers.esx.templates has no guestid "Debian 12" (any more); newest there is Debian 13`},
		{"pool misspelt", "esx:deploy", change{"pool: " + lab.Pool, "pool: " + lab.Pool + "x"}, change{}, `Resourcesx"; it has DC0_H0, Resources`},
		{"datastore misspelt", "esx:deploy", change{"pool:", "datastore: fast, pool:"}, change{}, `has no datastore "fast"; it has LocalDS_0`},
		{"folder misspelt", "esx:deploy", change{"pool:", "folder: hosts, pool:"}, change{}, `has no folder "hosts"; did you mean "host"?`},
		{"size no number", "esx:deploy", change{}, change{"guestid: Debian 12", "guestid: Debian 12\n  size: large"}, "on ESX it is memory, as in 2GB"},
		{"machine gone", "esx:get_pub_ip", change{}, change{}, "the machine vm-9999 is gone"},
		{"another SSH key", "ssh:wait", change{}, change{"127.81.200.1", "127.81.200.9"}, "it is another machine, or somebody is in between"},
		{"config management unknown", "ssh:install_config_management", change{}, change{"guestid: Debian 12", "config_management: chefe"}, `config_management is "chefe", but the configuration knows ansible-pull, chef, cinc, puppet, salt, script`},
		{"no commands", "ssh:run", change{}, change{}, `ssh:run needs "commands"`},
		{"half a document", "bad:half", change{}, change{}, "what bad half printed is not a clipboard for this host: "},
		{"a document cut off", "bad:cut", change{}, change{}, "this quote is never closed; the old clipboard stays"},
		{"garbage", "bad:garbage", change{}, change{}, "what bad garbage printed is not a clipboard for this host: "},
		{"another host", "bad:other", change{}, change{}, "it is about another host, thor"},
		{"no end of output", "bad:huge", change{}, change{}, "gave up after 2s"},
		{"a key twice", "bad:twice", change{}, change{}, "is here a second time"},
		{"hangs", "bad:hang", change{}, change{}, "gave up after 2s"},
		{"hangs by its own timeout", "quick:hang", change{}, change{}, "gave up after 1s"},
		{"dies by a signal", "bad:signal", change{}, change{}, "was killed by signal 11"},
		{"fails with a reason", "bad:fail", change{}, change{}, "the disk is on fire (exit code 3)"},
		{"fails without a word", "bad:mute", change{}, change{}, "it said nothing on stderr (exit code 9)"},
		{"not executable", "plain:go", change{}, change{}, "is not executable; chmod +x it"},
		{"no interpreter", "nointerp:go", change{}, change{}, "its interpreter, named in its first line, is not there"},
		{"a bad table", "table:go", change{}, change{}, `resume of table:go is "sometimes"; again or ask`},
		{"no such program", "nobody:go", change{}, change{}, `no worker here offers the step "nobody:go"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conf := filepath.Join(t.TempDir(), "jarvis.yaml")
			text, clip := good, full
			if c.conf.old != "" {
				text = strings.ReplaceAll(text, c.conf.old, c.conf.new)
			}
			if c.clip.old != "" {
				clip = strings.ReplaceAll(clip, c.clip.old, c.clip.new)
			}
			if c.name == "another SSH key" {
				clip = strings.ReplaceAll(clip, "  hostkeys: ["+key+"]\n", "")
			}
			if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			code, out, errs := jarvis(t, clip, "--config", conf, "step", c.step)
			if code == 0 || out != "" {
				t.Fatalf("exit %d, stdout %q", code, out)
			}
			lines := strings.Split(strings.TrimSpace(errs), "\n")
			last := lines[len(lines)-1]
			if !strings.Contains(last, c.want) {
				t.Errorf("answer: %s\nwant:   %s", last, c.want)
			}
			if !strings.HasPrefix(last, "jarvis: ") || len(last) > 600 {
				t.Errorf("that is not one clear line: %q", last)
			}
		})
	}
}
