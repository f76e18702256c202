package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// buildJarvis builds the real program, for what kills it.
// buildJarvis gives the program. PROGRAM_UNDER_TEST names one that is built already.
func buildJarvis(t *testing.T) string {
	t.Helper()
	if bin := os.Getenv("PROGRAM_UNDER_TEST"); bin != "" {
		return bin
	}
	bin := filepath.Join(t.TempDir(), "jarvis")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	return bin
}

func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// writeIn gives what writes a file below dir, with the folders on its way.
func writeIn(t testing.TB, dir string) func(name, text string, mode os.FileMode) string {
	return func(name, text string, mode os.FileMode) string {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return name
	}
}

// small gives the second value under -short. CI runs each benchmark so, without the programs beside which it sets ours,
// so that none can rot.
func small[T any](whole, short T) T {
	if testing.Short() {
		return short
	}
	return whole
}

// process is the real program, killed and started again.
type process struct {
	t    *testing.T
	bin  string
	conf string
	log  *os.File
	addr string // of its API, when it has one

	mu  sync.Mutex
	cmd *exec.Cmd
}

func (p *process) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = exec.Command(p.bin, "--config", p.conf, "serve")
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) kill() { p.end(syscall.SIGKILL) }

func (p *process) end(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.cmd.Process.Signal(sig)
	_ = p.cmd.Wait()
}

// cli runs one command line in the real program.
func (p *process) cli(ctx context.Context, args ...string) ([]byte, error) {
	return exec.CommandContext(ctx, p.bin, append([]string{"--config", p.conf}, args...)...).Output()
}
