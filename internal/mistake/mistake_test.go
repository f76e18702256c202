package mistake

import (
	"errors"
	"fmt"
	"testing"
)

func TestAll(t *testing.T) {
	var l List
	l.At("workers.esx.url", "names no user")
	l.Add(errors.Join(At("people[1].roles", ": %q", "x"), errors.New("no key")))
	l.Add(nil)
	err := Move(l.Err(), "workers.esx", "workers.esx[2]")
	got := ""
	for _, o := range All(err, "") {
		got += fmt.Sprintf("%s|%s\n", o.Key, o.Error())
	}
	want := "workers.esx[2].url|workers.esx[2].url names no user\npeople[1].roles|people[1].roles: \"x\"\nworkers.esx[2]|workers.esx[2]: no key\n"
	if got != want {
		t.Errorf("All =\n%s want\n%s", got, want)
	}
	if (List{}).Err() != nil || All(nil, "") != nil {
		t.Error("nothing wrong is an error")
	}
}
