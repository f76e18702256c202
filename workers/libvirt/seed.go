package libvirt

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/diskfs/go-diskfs/backend"
	"github.com/diskfs/go-diskfs/filesystem/fat12"
)

// seedSize of a seed in bytes: a floppy disk's, which holds many times what cloud-init is told.
const seedSize = 1440 << 10

// seed makes the disk from which cloud-init reads: a FAT file system with the label CIDATA
// (https://docs.cloud-init.io/en/latest/reference/datasources/nocloud.html). It is made in memory: what is in it is
// secret.
func seed(files map[string]string) ([]byte, error) {
	m := &memory{b: make([]byte, seedSize)}
	f, err := fat12.Create(m, seedSize, 0, 512, "CIDATA", true)
	if err != nil {
		return nil, fmt.Errorf("make the seed: %w", err)
	}
	for _, name := range []string{"meta-data", "network-config", "user-data"} {
		file, err := f.OpenFile(name, os.O_CREATE|os.O_RDWR)
		if err == nil {
			_, err = file.Write([]byte(files[name]))
		}
		if err == nil {
			err = file.Close()
		}
		if err != nil {
			return nil, fmt.Errorf("write %s into the seed: %w", name, err)
		}
	}
	return m.b, nil
}

// memory is a disk in memory.
type memory struct {
	b []byte
	bytes.Reader
}

var (
	_ backend.Storage      = (*memory)(nil)
	_ backend.WritableFile = (*memory)(nil)
)

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(m.b)) {
		return 0, io.EOF
	}
	n := copy(p, m.b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > int64(len(m.b)) {
		return 0, io.ErrShortWrite
	}
	return copy(m.b[off:], p), nil
}

func (m *memory) Writable() (backend.WritableFile, error) { return m, nil }
func (m *memory) Sys() (*os.File, error)                  { return nil, backend.ErrNotSuitable }
func (m *memory) Path() string                            { return "" }
func (m *memory) Stat() (fs.FileInfo, error)              { return nil, backend.ErrNotSuitable }
func (m *memory) Close() error                            { return nil }
