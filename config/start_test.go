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

// A plugin that is not there is trouble of its checks alone, also where jarvis.yaml itself names it; any other mistake
// of that keeps the server from starting.
func TestAServerStartsWithoutAPlugin(t *testing.T) {
	text := "data: ./data\nchecks:\n  plugins: plugins\n  tasks:\n    - {name: disk, command: x}\n    - {name: queue, plugin: check_queue}\n  host_tasks:\n    - {tasks: [disk], hosts: [loki]}\n    - {tasks: [queue], hosts: [loki]}\n"
	file := filepath.Join(writeAll(t, map[string]string{"jarvis.yaml": text, "plugins/other": "x"}), "jarvis.yaml")
	c, err := VerifyStart(file)
	if err != nil {
		t.Fatal(err)
	}
	all, left := c.Checks.LoadStart()
	if len(all.Tasks) != 1 || len(all.HostTasks) != 1 || len(left) == 0 || !strings.Contains(left[0].Error(), "task queue: its plugin cannot be used: ") {
		t.Errorf("%+v is left, and %v left out", all, left)
	}
	if _, err := Verify(file); err == nil || !strings.Contains(err.Error(), "line 6: checks.tasks[1]: task queue: its plugin cannot be used: ") || !strings.Contains(err.Error(), "check_queue is not there") {
		t.Errorf("config check says %v", err)
	}
	wrong := filepath.Join(writeAll(t, map[string]string{"jarvis.yaml": text + "    - {tasks: [nothing], hosts: [loki]}\n", "plugins/other": "x"}), "jarvis.yaml")
	if _, err := VerifyStart(wrong); err == nil || !strings.Contains(err.Error(), "there is no task nothing") {
		t.Errorf("another mistake is taken: %v", err)
	}
}
