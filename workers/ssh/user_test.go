package ssh

import "testing"

// TestTheConfiguredUser: what has worked is taken, whatever useradd says of it; what could be no name is refused at
// start.
func TestTheConfiguredUser(t *testing.T) {
	for user, ok := range map[string]bool{"": true, "root": true, "ec2-user": true, "first.last": true, "Administrator": true, "a b": false, "a:b": false, "-oProxyCommand=x": false} {
		if _, err := New(Config{User: user}, t.TempDir()); (err == nil) != ok {
			t.Errorf("workers.ssh.user %q: %v", user, err)
		}
	}
}
