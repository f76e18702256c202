package pipeline

import "testing"

// A kind in no class reaches nobody who asks for classes, and nothing has it told in quiet hours.
func TestEveryKindOfNoticeIsInAClass(t *testing.T) {
	for _, k := range Notices {
		if len(k.ClassesOf()) == 0 {
			t.Errorf("%s is in no class but all", k)
		}
	}
	if !EvLapsed.Fails() {
		t.Error("that a planned run does not begin is no failure")
	}
}
