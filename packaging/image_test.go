//go:build package

package packaging

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// words gives what an instruction of the Containerfile says.
func words(t *testing.T, text, instruction string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + instruction + ` (.*)$`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("the Containerfile has no %s", instruction)
	}
	return m[1]
}

// TestPackageImage runs the file tree of the container as an engine would: its user, its command, nothing else of a
// machine but /proc. What it cannot prove is that an engine reads the Containerfile as we do.
func TestPackageImage(t *testing.T) {
	b, err := os.ReadFile("Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	file := string(b)
	tree, dest, _ := strings.Cut(words(t, file, "ADD"), " ")
	if dest != "/" {
		t.Errorf("ADD goes to %q, want /", dest)
	}
	dir := t.TempDir()
	if out, err := exec.Command("tar", "-C", dir, "--numeric-owner", "-xpf", filepath.Join("..", strings.ReplaceAll(tree, "${TARGETARCH}", runtime.GOARCH))).CombinedOutput(); err != nil {
		t.Fatalf("unpack %s: %v: %s", tree, err, out)
	}
	var entry, command []string
	for instruction, v := range map[string]*[]string{"ENTRYPOINT": &entry, "CMD": &command} {
		if err := json.Unmarshal([]byte(words(t, file, instruction)), v); err != nil {
			t.Fatal(err)
		}
	}
	// $1 the tree, $2 the user; what follows is run in it.
	const inside = `mount -t proc proc "$1/proc" && exec env -i PATH=/usr/bin HOME=/var/lib/jarvis "$0" --userspec="$2" "$1" "${@:3}"`
	chroot, err := exec.LookPath("/usr/sbin/chroot")
	if err != nil {
		t.Fatal(err)
	}
	conf := "name: jarvis\ndata: /var/lib/jarvis\nlisten: \"\"\n"
	if err := os.WriteFile(filepath.Join(dir, "etc/jarvis/jarvis.yaml"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "--", "bash", "-c", inside, chroot, dir, words(t, file, "USER")}, append(entry, command...)...)
	server := exec.Command("unshare", args...)
	var log bytes.Buffer
	server.Stdout, server.Stderr = &log, &log
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	// first gives the container's process 1. The kernel forgets whose death it should die as soon as it becomes another
	// user, so it is ended by its own number.
	pid := strconv.Itoa(server.Process.Pid)
	first := func() int {
		b, err := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			t.Fatalf("the container's process 1 is %q", b)
		}
		return n
	}
	ask := func() (string, error) {
		out, err := exec.Command(chroot, append([]string{"--userspec=" + words(t, file, "USER"), dir}, append(entry, "status")...)...).CombinedOutput()
		return string(out), err
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		out, err := ask()
		if err == nil {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("the container ended: %v\n%s", err, &log)
		default:
		}
		if time.Now().After(end) {
			_ = syscall.Kill(first(), syscall.SIGKILL)
			<-ended
			t.Fatalf("the container does not answer: %v: %s\n%s", err, out, &log)
		}
	}
	// As process 1 it ends in order all the same.
	if err := syscall.Kill(first(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if <-ended; !strings.Contains(log.String(), "stopped; what was under way goes on") {
		t.Errorf("the container does not end in order:\n%s", &log)
	}
	if st, err := os.Stat(filepath.Join(dir, "var/lib/jarvis/jarvis.db")); err != nil || st.Sys().(*syscall.Stat_t).Uid != 10001 {
		t.Errorf("the record is %v, %v; want one of user 10001", st, err)
	}
	if st, err := os.Stat(filepath.Join(dir, "etc/ssl/certs/ca-certificates.crt")); err != nil || st.Size() < 50_000 {
		t.Errorf("the authorities are %v, %v", st, err)
	}
}
