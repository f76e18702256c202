package proc_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/jarvisops/jarvis/internal/proc"
)

func TestMain(m *testing.M) {
	// The test's own parent: it starts a program, says so, and waits to be killed.
	if line := os.Getenv("PROC_TEST_PARENT"); line != "" {
		silence, _ := time.ParseDuration(os.Getenv("PROC_TEST_SILENCE")) // "": none
		_, err := proc.Run(context.Background(), proc.Command{Path: "/bin/bash", Args: []string{"-c", line}, Env: os.Environ(),
			Grace: grace, Silence: silence, Word: os.Getenv("PROC_TEST_WORD"), Stdout: os.Stdout, Stderr: os.Stderr})
		fmt.Println("ended", err)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
