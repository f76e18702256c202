package real

import (
	"strings"
	"testing"
)

// TestSystemdHost proves what tests of the package rely on: units run as their users and get their secrets, the journal
// and the disk outlive a reboot, a reboot is one, and a host on which a unit fails is not called right.
func TestSystemdHost(t *testing.T) {
	ctx := t.Context()
	h, err := StartSystemdHost(ctx, "unit")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.stop(); err != nil {
			t.Error(err)
		}
	})
	run := func(script string) string {
		t.Helper()
		out, err := h.Run(ctx, script)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(out)
	}
	run(`useradd -r worker
(umask 077; echo hello >/root/word)
printf '[Service]\nType=exec\nUser=worker\nLoadCredential=word:/root/word\nExecStart=/bin/sh -c "cat /run/credentials/lab.service/word; exec sleep infinity"\n[Install]\nWantedBy=multi-user.target\n' >/etc/systemd/system/lab.service
systemctl enable --now lab`)
	who := `ps -o user= -p "$(systemctl show -P MainPID lab)"`
	if got := run(who); got != "worker" {
		t.Errorf("the unit runs as %q, want worker", got)
	}
	if err := h.Reboot(ctx); err != nil {
		t.Fatal(err)
	}
	if got := run(who); got != "worker" {
		t.Errorf("after a reboot the unit runs as %q, want worker", got)
	}
	if got := run("journalctl -u lab -o cat | grep -c hello"); got != "2" {
		t.Errorf("the journal has %s boots of the unit, want 2", got)
	}
	if _, err := h.Run(ctx, "exit 3"); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("exit 3 = %v", err)
	}
	run(`printf '[Service]\nExecStart=/bin/false\n[Install]\nWantedBy=multi-user.target\n' >/etc/systemd/system/bad.service; systemctl enable bad`)
	if err := h.Reboot(ctx); err == nil || !strings.Contains(err.Error(), "bad.service") {
		t.Errorf("a host whose unit bad.service fails: %v", err)
	}
}
