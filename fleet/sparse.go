package fleet

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A sparse file goes as GNU tar 1.0 writes one: only what is stored travels, and the holes are holes there. archive/tar
// reads that form, but does not write it; see "Storing Sparse Files" in GNU tar's manual.

// holey reports whether a file has holes. That it takes less room than it is long may also come of a file system that
// compresses.
func holey(local string, info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Blocks*512 >= info.Size() || info.Size() <= fanChunk {
		return false
	}
	f, err := os.Open(local)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	hole, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_HOLE)
	return err == nil && hole < info.Size()
}

type extent struct{ at, n int64 }

// extents gives the parts of a file that are stored, as far as its file system tells.
func extents(f *os.File, size int64) (parts []extent) {
	for at := int64(0); at < size; {
		data, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break
		} else if err != nil {
			return []extent{{0, size}}
		}
		hole, err := unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE)
		if err != nil {
			return []extent{{0, size}}
		}
		data, hole = min(data, size), min(hole, size)
		parts = append(parts, extent{data, hole - data})
		at = hole
	}
	return parts
}

const tarBlock = 512

// sparse writes a file with holes, past tw into the stream that tw writes to.
func (s *treeWriter) sparse(hdr *tar.Header, e *treeEntry, f *os.File) error {
	parts := append(extents(f, hdr.Size), extent{hdr.Size, 0}) // the last says where the file ends
	var list strings.Builder
	fmt.Fprintf(&list, "%d\n", len(parts))
	stored := int64(0)
	for _, p := range parts {
		fmt.Fprintf(&list, "%d\n%d\n", p.at, p.n)
		stored += p.n
	}
	table := list.String() + strings.Repeat("\x00", -list.Len()&(tarBlock-1))
	head, err := sparseHeader(hdr, int64(len(table))+stored)
	if err != nil {
		return fmt.Errorf("%s: %w", e.local, err)
	}
	if err := s.tw.Flush(); err != nil { // what comes before is padded
		return err
	}
	if _, err := s.buf.WriteString(string(head) + table); err != nil {
		return err
	}
	for _, p := range parts {
		if err := s.padded(s.buf, io.NewSectionReader(f, p.at, p.n), p.n); err != nil {
			return err
		}
	}
	_, err = s.buf.WriteString(strings.Repeat("\x00", int(-stored&(tarBlock-1))))
	return err
}

// sparseHeader gives the two headers of a sparse file of which size bytes travel.
func sparseHeader(hdr *tar.Header, size int64) ([]byte, error) {
	records := map[string]string{
		"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": hdr.Name, "GNU.sparse.realsize": strconv.FormatInt(hdr.Size, 10),
		"mtime": paxTime(hdr), "uid": strconv.Itoa(hdr.Uid), "gid": strconv.Itoa(hdr.Gid), "size": strconv.FormatInt(size, 10),
	}
	for k, v := range hdr.PAXRecords {
		records[k] = v
	}
	var body strings.Builder
	for k, v := range records {
		// The length counts itself.
		rest := len(" " + k + "=" + v + "\n")
		n := rest + len(strconv.Itoa(rest))
		n = rest + len(strconv.Itoa(n))
		fmt.Fprintf(&body, "%d %s=%s\n", n, k, v)
	}
	x, err := rawHeader(tar.Header{Name: "GNUSparseFile.0/x", Mode: 0o600, Size: int64(body.Len())}, 'x')
	if err != nil {
		return nil, err
	}
	// What is beyond the old form is in the records.
	plain, err := rawHeader(tar.Header{Name: "GNUSparseFile.0/f", Mode: hdr.Mode, Size: min(size, 1<<33-1)}, tar.TypeReg)
	if err != nil {
		return nil, err
	}
	return append(append(x, body.String()+strings.Repeat("\x00", -body.Len()&(tarBlock-1))...), plain...), nil
}

// paxTime leaves out digits that are all zero.
func paxTime(hdr *tar.Header) string {
	return strings.TrimSuffix(mtimeText(hdr.ModTime, 9), ".000000000")
}

// rawHeader gives one block of the old form, of a type that archive/tar does not write by itself.
func rawHeader(hdr tar.Header, kind byte) ([]byte, error) {
	hdr.Typeflag, hdr.Format = tar.TypeReg, tar.FormatUSTAR
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(&hdr); err != nil {
		return nil, err
	}
	block := b.Bytes()[:tarBlock]
	const typeAt, sumAt, sumLen = 156, 148, 8
	block[typeAt] = kind
	copy(block[sumAt:sumAt+sumLen], strings.Repeat(" ", sumLen))
	sum := 0
	for _, c := range block {
		sum += int(c)
	}
	copy(block[sumAt:], fmt.Sprintf("%06o\x00 ", sum))
	return block, nil
}
