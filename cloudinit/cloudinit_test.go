package cloudinit_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/cloudinit"
)

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHmsXB8UmyDRG5BtT69cTBkmSITs9hRTGAwgwpCA5frO"

// TestUserDataPassesCloudInitsOwnSchema asks the program that will read it.
func TestUserDataPassesCloudInitsOwnSchema(t *testing.T) {
	c, err := clipboard.Parse([]byte("instance:\n  hostname: loki\n  fqdn: loki.websages.com\n  provider: ESX\n  sshpubkey: " + key + " alice\n  hostkey_first: " + key +
		"\n  hostkey_private: !secret \"-----BEGIN OPENSSH PRIVATE KEY-----\\nAAAA\\n-----END OPENSSH PRIVATE KEY-----\\n\"\n  root_password_hash: !secret \"$2a$10$abcdefghijklmnopqrstuv\"\n  jarvis_pubkey: " + key + " jarvis\n"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := cloudinit.UserData(c, cloudinit.Disk{Mount: "/srv", Find: []string{"path:/dev/sdf", "nvme:sdf"}})
	if err != nil {
		t.Fatal(err)
	}
	text := d.Text
	for _, want := range []string{"#cloud-config\n", "hostname: loki\n", "fqdn: loki.websages.com\n", key + " alice", key + " jarvis", "BEGIN OPENSSH PRIVATE KEY", "/srv path:/dev/sdf nvme:sdf"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	file := filepath.Join(t.TempDir(), "user-data")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	bin, err := exec.LookPath("cloud-init")
	if err != nil {
		t.Fatal("cloud-init is not installed; run: apt-get install -y cloud-init")
	}
	out, err := exec.CommandContext(t.Context(), bin, "schema", "--config-file", file).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Valid") || strings.Contains(string(out), "deprecat") {
		t.Errorf("cloud-init schema: %v\n%s", err, out)
	}
}

func TestUserDataNamesWhatIsMissing(t *testing.T) {
	c, err := clipboard.Parse([]byte("instance: {hostname: loki, provider: ESX}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cloudinit.UserData(c); err == nil || !strings.Contains(err.Error(), `"hostkey_private" is missing`) {
		t.Errorf("UserData = %v", err)
	}
}

// The story: on a machine that really booted, `hostname -f` was the short name, because nothing was in /etc/hosts. Who
// has a view of his own of that file says so in his user_data.
func TestTheFullNameIsInEtcHosts(t *testing.T) {
	base := "instance:\n  hostname: loki\n  fqdn: loki.websages.com\n  hostkey_first: " + key + "\n  hostkey_private: !secret \"abcdefghij\"\n  root_password_hash: !secret \"$2a$10$abcdefghijklmnopqrstuv\"\n  jarvis_pubkey: " + key + "\n"
	for extra, want := range map[string]string{
		"": "manage_etc_hosts: localhost\n",
		"  user_data: \"manage_etc_hosts: true\\nhostname: thor\\n\"\n": "manage_etc_hosts: true\n",
	} {
		c, err := clipboard.Parse([]byte(base + extra))
		if err != nil {
			t.Fatal(err)
		}
		d, err := cloudinit.UserData(c)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(d.Text, "\n"+want) || strings.Count(d.Text, "manage_etc_hosts") != 1 || !strings.Contains(d.Text, "hostname: loki\n") {
			t.Errorf("%q gives\n%s", extra, d.Text)
		}
	}
}

// look asks the very code that reads user-data on a machine what it sees: a line for each part, its type and its keys.
const look = `
import sys, yaml
from cloudinit import user_data
msg = user_data.convert_string(open(sys.argv[1], 'rb').read())
for part in msg.walk():
    if part.is_multipart(): continue
    body = part.get_payload(decode=True).decode()
    kind = part.get_content_type()
    if body.startswith('#cloud-config'): kind = 'text/cloud-config'
    print(kind, sorted(yaml.safe_load(body)) if kind == 'text/cloud-config' else '', (yaml.safe_load(body).get('write_files') or [{}])[0].get('content') if kind == 'text/cloud-config' else '')
`

// The stories: an anchor stood in a part that was left out, and the machine got a text that nobody can read; a file
// with a mail header in it made cloud-init take all of it for mail. Both machines were out of reach.
func TestWhatCloudInitSeesOfBoth(t *testing.T) {
	base := "instance:\n  hostname: loki\n  fqdn: loki.websages.com\n  hostkey_first: " + key + "\n  hostkey_private: !secret \"abcdefghij\"\n  root_password_hash: !secret \"$2a$10$abcdefghijklmnopqrstuv\"\n  jarvis_pubkey: " + key + "\n  user_data: "
	for name, c := range map[string]struct{ theirs, want string }{
		"an anchor in what is left out": {`"#cloud-config\nhostname: &h web\nwrite_files: [{path: /x, content: *h}]\n"`, "text/cloud-config [KEYS, 'write_files'] web"},
		"a mail in a file":              {`"write_files: [{path: /x, content: \"Mime-Version: 1.0\"}]\n"`, "text/cloud-config [KEYS, 'write_files'] Mime-Version: 1.0"},
		"a script":                      {`"#!/bin/sh\necho Mime-Version: 1.0\n"`, "text/cloud-config [KEYS] None\ntext/x-shellscript"},
	} {
		t.Run(name, func(t *testing.T) {
			cb, err := clipboard.Parse([]byte(base + c.theirs + "\n"))
			if err != nil {
				t.Fatal(err)
			}
			d, err := cloudinit.UserData(cb)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "user-data")
			if err := os.WriteFile(file, []byte(d.Text), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", look, file).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s\n%s", err, out, d.Text)
			}
			keys := "'chpasswd', 'disable_root', 'fqdn', 'hostname', 'manage_etc_hosts', 'preserve_hostname', 'ssh_authorized_keys', 'ssh_deletekeys', 'ssh_keys', 'ssh_pwauth', 'users'"
			if got := strings.TrimSpace(strings.ReplaceAll(string(out), keys, "KEYS")); got != c.want {
				t.Errorf("cloud-init sees\n%s\nwant\n%s\nof\n%s", got, c.want, d.Text)
			}
		})
	}
	for theirs, want := range map[string]string{
		`"packages: [vim]\n---\nruncmd: [reboot]\n"`: "more than one document",
		`"packages: [vim]\npackages: [nano]\n"`:      `"packages" twice`,
		`"a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"`: "too large",
	} {
		cb, err := clipboard.Parse([]byte(base + theirs + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		if err := cloudinit.Check(cb); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", theirs, err, want)
		}
	}
}
