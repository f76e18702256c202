package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A server starts beside a broken file of checks and a contact whose program is not there; `config check` tells both.
func TestWhatAServerStartsWithout(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "jarvis.yaml")
	for name, text := range map[string]string{
		"jarvis.yaml":     "data: " + filepath.Join(dir, "data") + "\nchecks: {dir: checks.d, contacts: [{name: phone, command: [/nowhere/sms]}]}\n",
		"checks.d/a.yaml": "tasks: [{name: disk, command: x}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := VerifyStart(file); err != nil {
		t.Error(err)
	}
	_, err := Verify(file)
	if err == nil || !strings.Contains(err.Error(), "a.yaml, line ") || !strings.Contains(err.Error(), "contact phone has a command that is not there") {
		t.Error(err)
	}
}
