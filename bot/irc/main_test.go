package irc_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// girc sleeps for two seconds after a welcome, in a goroutine that nothing can stop; then it ends.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/lrstanley/girc.handleConnect"))
}
