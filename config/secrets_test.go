package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, file, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestSecretsStandElsewhere: in the environment, a file, or a credential; a value may hold one, and $${…} is itself.
func TestSecretsStandElsewhere(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "irc.pw"), "from-a-file\n", 0o600)
	write(t, filepath.Join(dir, "creds", "xmpp"), "from-a-credential", 0o400)
	write(t, filepath.Join(dir, "credentials", "shell"), "from-beside", 0o600)
	text := `
chat:
  - irc: {server: "irc.example.org:6697", password: "${file:irc.pw}"}
  - xmpp: {jid: j@example.org, password: "${credential:xmpp}"}
workers:
  esx: {url: "https://jarvis:${VC}@vcenter/sdk"}
checks: {tasks: [{name: home, command: "echo $${HOME} $VC"}]}
`
	env := map[string]string{"VC": "from-env", "CREDENTIALS_DIRECTORY": filepath.Join(dir, "creds")}
	look := func(k string) (string, bool) { v, ok := env[k]; return v, ok }
	file := filepath.Join(dir, "jarvis.yaml")
	c, err := Parse(file, []byte(text), look)
	if err != nil {
		t.Fatal(err)
	}
	got := string(c.Chat[0].IRC.Password) + " " + string(c.Chat[1].XMPP.Password) + " " + string(c.Workers.ESX[0].URL) + " " + c.Checks.Tasks[0].Command
	if want := "from-a-file from-a-credential https://jarvis:from-env@vcenter/sdk echo ${HOME} $VC"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	shown, err := c.Show()
	if err != nil || strings.Contains(shown, "from-") {
		t.Errorf("shown: %v\n%s", err, shown)
	}
	delete(env, "CREDENTIALS_DIRECTORY")
	c, err = Parse(file, []byte(`chat: [{irc: {server: "i:1", password: "${credential:shell}"}}]`), look)
	if err != nil || c.Chat[0].IRC.Password != "from-beside" {
		t.Errorf("outside of the service: %v", err)
	}

	// All that are missing are told at once.
	env["CREDENTIALS_DIRECTORY"] = filepath.Join(dir, "creds")
	_, err = Parse(file, []byte("name: ${A}\ndatabase: ${B}\nage_key: ${file:none}\nlisten: ${credential:none}\n"), look)
	for i, want := range []string{"line 1: name: ${A} is not set in the environment", "line 2: database: ${B} is not", "line 3: age_key: ${file:none} cannot be read", "line 4: listen: ${credential:none} cannot be read"} {
		if err == nil || !strings.Contains(strings.Split(err.Error(), "\n")[i], want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	if err != nil && !strings.Contains(err.Error(), "the unit needs LoadCredential=none:FILE") {
		t.Errorf("%v does not say what to do", err)
	}
}

// TestSecretsThatEverybodyMayRead are told, in the file of the configuration and in those of secrets.
func TestSecretsThatEverybodyMayRead(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name, text string
		mode, file os.FileMode
		want       string
	}{
		{"a secret in an open file", "data: d\nworkers: {linode: {token: hunter22hunter22}}\n", 0o644, 0o600, "line 2: a secret stands here"},
		{"a secret in a closed file", "workers: {linode: {token: hunter22hunter22}}\n", 0o640, 0o600, ""},
		{"an open file without a secret", "workers: {linode: {token: \"${file:t}\"}}\n", 0o644, 0o600, ""},
		{"an open file of a secret", "workers: {linode: {token: \"${file:t}\"}}\n", 0o600, 0o644, "/t can be read or changed by everybody"},
	} {
		t.Run(c.name, func(t *testing.T) {
			write(t, filepath.Join(dir, "t"), "0123456789", c.file)
			got, err := Verify(write(t, filepath.Join(dir, "jarvis.yaml"), c.text, c.mode))
			if err != nil {
				t.Fatal(err)
			}
			if said := got.Exposed().Error(); (said == "") != (c.want == "") || !strings.Contains(said, c.want) {
				t.Errorf("told %q, want %q", said, c.want)
			}
		})
	}
}

// TestAClientNeedsNoSecret: it finds the server whatever else stands in the file.
func TestAClientNeedsNoSecret(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("JARVIS_CONFIG", "")
	for _, c := range []struct{ name, text, server, socket string }{
		{"nothing", "", "", dir + "/data/run/jarvis.sock"},
		{"a missing secret", "data: state\ndatabase: ${NOT_SET}\nworkers: {linode: {token: \"${credential:none}\"}}\n", "", dir + "/state/run/jarvis.sock"},
		{"mistakes elsewhere", "socket: {path: s}\npeople: 5\nnonsense: [\"${X}\"]\nname: a b\n", "", dir + "/s"},
		{"a server elsewhere", "server: https://jarvis.example.org\nchat: [{irc: {password: \"${P}\"}}]", "https://jarvis.example.org", dir + "/data/run/jarvis.sock"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := FindPlace(write(t, filepath.Join(dir, "jarvis.yaml"), c.text, 0o600))
			if err != nil || p.Server != c.server || p.Socket != c.socket {
				t.Errorf("FindPlace = %+v, %v", p, err)
			}
		})
	}
	if _, err := FindPlace(filepath.Join(dir, "none.yaml")); err == nil || !strings.Contains(err.Error(), "none.yaml: cannot be read") {
		t.Errorf("a file that is named and is not there: %v", err)
	}
	t.Setenv("JARVIS_CONFIG", write(t, filepath.Join(dir, "other.yaml"), "data: other", 0o600))
	if p, err := FindPlace(""); err != nil || p.Socket != dir+"/other/run/jarvis.sock" {
		t.Errorf("JARVIS_CONFIG: %+v, %v", p, err)
	}
}

// TestTextThatIsNoConfiguration ends in a sentence, and never without an end.
func TestTextThatIsNoConfiguration(t *testing.T) {
	for text, want := range map[string]string{
		"a: [":                       "this is not YAML",
		"- x":                        "must be a mapping with the keys",
		"name: a\n---\nname: b":      "a second document begins here",
		"people: &p [*p]":            "",
		"checks: &c {tasks: [*c]}":   "",
		"? [a]: b":                   "a key must be one word or text",
		"name: [x]":                  "name must be a single value",
		"<<: {name: x}":              `there is no key "<<" here`,
		"chat: [{irc: {server: 5}}]": "", // a number is text, too
	} {
		_, err := Parse("x.yaml", []byte(text), func(string) (string, bool) { return "", false })
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestAChannelsKeyIsASecret: it stands behind the channel's name, and is shown nowhere, however short it is.
func TestAChannelsKeyIsASecret(t *testing.T) {
	c, err := Parse(filepath.Join(t.TempDir(), "jarvis.yaml"), []byte("chat: [{irc: {server: \"i:1\", channels: [\"#ops sesame7\", \"#dev key\", \"#open\"]}}, {xmpp: {jid: j@example.org, rooms: [\"ops@rooms.example.org opensesame\"]}}]\n"), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	shown, err := c.Show()
	if err != nil || strings.Contains(shown, "sesame") || strings.Contains(shown, "#dev key") || !strings.Contains(shown, "#open") || !strings.Contains(shown, "#dev ") {
		t.Errorf("%v\n%s", err, shown)
	}
}
