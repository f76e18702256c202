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
	text, err := cloudinit.UserData(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"#cloud-config\n", "hostname: loki\n", "fqdn: loki.websages.com\n", key + " alice", key + " jarvis", "BEGIN OPENSSH PRIVATE KEY"} {
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
