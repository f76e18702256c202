package web

import (
	"os/user"
	"testing"

	"github.com/jarvisops/jarvis/access"
)

// TestTheServersUserIsNotLimited: with `local: root` in people, root was limited on the socket, which
// docs/howto/people.md denies.
func TestTheServersUserIsNotLimited(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	var a access.Access
	if err := a.SetPeople([]access.PersonConfig{{Name: "rita", Roles: []string{access.View}, Local: "root"}, {Name: "alice", Roles: []string{access.View}, Local: "alice"}}); err != nil {
		t.Fatal(err)
	}
	s := &Server{Config: Config{Access: &a}}
	if c := s.local("root"); !c.free || c.person.Name != "rita" || c.person.Has(access.Admin) || c.person.Operator {
		t.Errorf("root is %+v", c)
	}
	if c := s.local("alice"); c.free || c.person.Name != "alice" {
		t.Errorf("alice is %+v", c)
	}
	if c := s.local(me.Username); !c.free {
		t.Errorf("the server's own user is %+v", c)
	}
	if c := s.local("mallory"); c.free || c.person.Name != "" {
		t.Errorf("mallory is %+v", c)
	}
	if err := a.SetPeople(nil); err != nil {
		t.Fatal(err)
	}
	if c := s.local("root"); !c.person.Operator || !c.person.Unnamed { // tokens that root makes are their owners'
		t.Errorf("root, whom nobody names, is %+v", c)
	}
}
