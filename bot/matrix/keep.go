package matrix

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"maunium.net/go/mautrix/id"
)

// How many event ids are remembered: in all, and over a restart.
const (
	maxHeard     = 1000
	maxHeardKept = 200
)

// keep is what outlives a connection, and with a folder the process. It is safe for concurrent use.
// Why not in the database: docs/adr/0005-matrix-state-in-a-folder.md
type keep struct {
	folder string // "": only in memory

	mu    sync.Mutex
	data  kept
	heard map[id.EventID]bool
}

// kept is the file state.json. Of what is not there the bot begins again.
type kept struct {
	Token  string               `json:"token"`
	Device id.DeviceID          `json:"device"`
	Pickle []byte               `json:"pickle"` // seals the keys of encrypted rooms in their file
	Since  string               `json:"since"`
	Heard  []id.EventID         `json:"heard"` // the newest last
	Direct map[id.RoomID]string `json:"direct"`
	// Upgraded is what was made of configured rooms.
	Upgraded map[id.RoomID]id.RoomID `json:"upgraded"`
}

func (k *keep) file() string { return filepath.Join(k.folder, "state.json") }

// load reads the file, if there is one.
func (k *keep) load() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.heard != nil {
		return nil // it ran before
	}
	k.heard, k.data.Direct = map[id.EventID]bool{}, map[id.RoomID]string{}
	k.data.Upgraded = map[id.RoomID]id.RoomID{}
	if k.folder == "" {
		return nil
	}
	b, err := os.ReadFile(k.file())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var d kept
	if err == nil {
		err = json.Unmarshal(b, &d)
	}
	if err != nil {
		return err
	}
	if d.Direct == nil {
		d.Direct = map[id.RoomID]string{}
	}
	if d.Upgraded == nil {
		d.Upgraded = map[id.RoomID]id.RoomID{}
	}
	k.data = d
	for _, e := range d.Heard {
		k.heard[e] = true
	}
	return nil
}

func (k *keep) get() kept {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.data
}

// set changes what is kept and writes it, whole or not at all.
func (k *keep) set(change func(*kept)) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	change(&k.data)
	if k.folder == "" {
		return nil
	}
	d := k.data
	d.Heard = d.Heard[max(0, len(d.Heard)-maxHeardKept):]
	b, err := json.Marshal(d)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(k.folder, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(k.file()+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(k.file()+".new", k.file())
}

// first reports whether an event comes for the first time, and remembers it.
func (k *keep) first(e id.EventID) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.heard[e] {
		return false
	}
	k.heard[e] = true
	k.data.Heard = append(k.data.Heard, e)
	if over := len(k.data.Heard) - maxHeard; over > 0 {
		for _, old := range k.data.Heard[:over] {
			delete(k.heard, old)
		}
		k.data.Heard = slices.Clone(k.data.Heard[over:])
	}
	return true
}

// direct reports with whom a room is a direct one; "" it is none.
func (k *keep) direct(room id.RoomID) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.data.Direct[room]
}

// upgraded gives what was made of a room in the end; the room itself where nothing was.
func (k *keep) upgraded(room id.RoomID) id.RoomID {
	k.mu.Lock()
	defer k.mu.Unlock()
	for range len(k.data.Upgraded) { // no further: two may name each other
		to, ok := k.data.Upgraded[room]
		if !ok {
			break
		}
		room = to
	}
	return room
}

// directs counts the direct rooms, and those with somebody.
func (k *keep) directs(user string) (all, his int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, u := range k.data.Direct {
		if u == user {
			his++
		}
	}
	return len(k.data.Direct), his
}

// directWith gives the direct rooms with somebody.
func (k *keep) directWith(user string) (rooms []id.RoomID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for room, u := range k.data.Direct {
		if u == user {
			rooms = append(rooms, room)
		}
	}
	slices.Sort(rooms)
	return rooms
}
