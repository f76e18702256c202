package remote_test

import (
	"testing"

	"go.uber.org/goleak"
)

// x/crypto/ssh waits for ever for a channel that is asked for between the moment in which it tells all others that the
// connection is over and that in which it closes it. Client.open gives such a one up; whoever waits for open is still
// looked for.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("golang.org/x/crypto/ssh.(*mux).openChannel"))
}
