package web

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// TestTheSocketChangesNothingForOthers: the umask belongs to the whole process. While it was changed to open the
// socket, git of a task made folders that nobody could enter, and the tasks stood still for good.
func TestTheSocketChangesNothingForOthers(t *testing.T) {
	dir := t.TempDir()
	over := make(chan struct{})
	folders := make(chan []string)
	go func() {
		var made []string
		for n := 0; ; n++ {
			select {
			case <-over:
				folders <- made
				return
			default:
				p := filepath.Join(dir, strconv.Itoa(n))
				if os.Mkdir(p, 0o700) == nil {
					made = append(made, p)
				}
			}
		}
	}()
	path := filepath.Join(dir, "jarvis.sock")
	for range 500 {
		l, err := Socket{Path: path}.listen()
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
	}
	close(over)
	for _, p := range <-folders {
		if st, err := os.Stat(p); err != nil || st.Mode().Perm() != 0o700 {
			t.Fatalf("a folder made meanwhile has mode %v, %v; want 0700", st.Mode(), err)
		}
	}
}
