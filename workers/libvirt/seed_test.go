package libvirt

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSeedIsReadByOthers: blkid, as udev in a guest does, finds the label, and mtools the files under their long names.
func TestSeedIsReadByOthers(t *testing.T) {
	want := map[string]string{"meta-data": "instance-id: x\n", "user-data": "#cloud-config\n" + strings.Repeat("# long\n", 9000), "network-config": "version: 2\n"}
	b, err := seed(want)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "seed.img")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "/sbin/blkid", "-p", "-o", "export", file).Output()
	if err != nil || !strings.Contains(string(out), "LABEL=CIDATA\n") || !strings.Contains(string(out), "TYPE=vfat\n") {
		t.Errorf("blkid: %v\n%s", err, out)
	}
	if _, err := exec.LookPath("mcopy"); err != nil {
		t.Fatal("mtools is not installed; run: apt-get install -y mtools")
	}
	for name, text := range want {
		out, err := exec.CommandContext(t.Context(), "mcopy", "-i", file, "::"+name, "-").Output()
		if err != nil || string(out) != text {
			t.Errorf("mcopy %s: %v, %d bytes, want %d", name, err, len(out), len(text))
		}
	}
}

// TestSeedTakesNoMoreThanItHolds: what does not fit is an error, not a short file.
func TestSeedTakesNoMoreThanItHolds(t *testing.T) {
	if _, err := seed(map[string]string{"user-data": strings.Repeat("x", seedSize)}); err == nil {
		t.Error("a user-data of the seed's own size was taken")
	}
}
