package backup

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/jarvisops/jarvis/store"
)

// Errors of Read.
var (
	ErrNotSealed = errors.New("this is no backup of Jarvis, or its beginning is damaged")
	ErrWrongKey  = errors.New("the key or the passphrase does not open it")
	ErrDamaged   = errors.New("the backup is damaged or cut off")
	ErrNewer     = errors.New("the backup is of a newer jarvis")
)

// Read reads a backup to its end and hands over what it holds. Only when it returns nil was all of it there and whole:
// so read it once for nothing before anything is written. Errors of the taker come back as they are.
func Read(r io.Reader, keys []age.Identity, to Taker) (Sums, error) {
	plain, err := age.Decrypt(r, keys...)
	var none *age.NoIdentityMatchError
	switch {
	case errors.As(err, &none):
		return Sums{}, ErrWrongKey
	case err != nil:
		return Sums{}, fmt.Errorf("%w (%w)", ErrNotSealed, err)
	}
	unpacked, err := zstd.NewReader(plain, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return Sums{}, err
	}
	defer unpacked.Close()
	l := &lines{in: bufio.NewReaderSize(unpacked, 1<<16), to: to}
	for {
		more, err := l.next()
		if err != nil || !more {
			return l.sums, err
		}
	}
}

// lines reads one line after the other.
type lines struct {
	in      *bufio.Reader
	to      Taker
	headed  bool
	columns int
	sums    Sums
}

// object is any line that is no row.
type object struct {
	Format *int   `json:"jarvis_backup"`
	File   string `json:"file"`
	Table  string `json:"table"`
	End    bool   `json:"end"`
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// next takes one line; more is false after the last.
func (l *lines) next() (more bool, err error) {
	line, err := l.in.ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		return false, damaged("its end is missing, after %d rows", l.sums.Rows)
	} else if err != nil {
		return false, damaged("%v, after %d rows", err, l.sums.Rows)
	}
	if line[0] == '[' {
		return true, l.row(line)
	}
	var is object
	if err := json.Unmarshal(line, &is); err != nil {
		return false, damaged("%v", err)
	}
	switch {
	case !l.headed && is.Format == nil:
		return false, ErrNotSealed
	case is.Format != nil:
		l.headed = true
		if *is.Format > Format {
			return false, fmt.Errorf("%w: its form is %d, and this program reads %d", ErrNewer, *is.Format, Format)
		}
		return true, take(line, l.to.Header)
	case is.File != "":
		l.sums.Files++
		return true, take(line, func(f File) error {
			// It is sealed, but by whom? A name never leads out of the folder.
			if f.Name == "." || path.IsAbs(f.Name) || path.Clean(f.Name) != f.Name || f.Name == ".." || strings.HasPrefix(f.Name, "../") || strings.ContainsAny(f.Name, "\\\x00") {
				return damaged("a file of it has the name %q", f.Name)
			}
			return l.to.File(f)
		})
	case is.Table != "":
		l.sums.Tables++
		return true, take(line, func(t store.Table) error {
			l.columns = len(t.Columns)
			return l.to.Table(t)
		})
	case is.End:
		return false, take(line, l.end)
	}
	return false, damaged("a line of it says nothing that this program knows")
}

// take reads a line as a T. That it cannot is damage; what f says is not.
func take[T any](line []byte, f func(T) error) error {
	var v T
	if err := json.Unmarshal(line, &v); err != nil {
		return damaged("%v", err)
	}
	return f(v)
}

// end compares what was counted, and makes sure that nothing follows.
func (l *lines) end(said Sums) error {
	if said != l.sums {
		return damaged("it says that it holds %+v, and holds %+v", said, l.sums)
	}
	if _, err := l.in.ReadByte(); !errors.Is(err, io.EOF) {
		return damaged("something follows its end")
	}
	return nil
}

// row takes one, in the types of a store.Sink.
func (l *lines) row(line []byte) error {
	l.sums.Rows++
	var raw []json.RawMessage
	if err := json.Unmarshal(line, &raw); err != nil {
		return damaged("%v", err)
	}
	if len(raw) != l.columns || l.columns == 0 {
		return damaged("a row has %d values for %d columns", len(raw), l.columns)
	}
	row := make([]any, len(raw))
	for i, v := range raw {
		x, err := value(v)
		if err != nil {
			return damaged("%v", err)
		}
		row[i] = x
	}
	return l.to.Row(row)
}

// value gives one in the types of a store.Sink. A float is {"f":"…"} and bytes are {"b":"…"}: a number of JSON is an
// int64 here, and a text is UTF-8.
func value(raw json.RawMessage) (any, error) {
	switch raw[0] {
	case 'n':
		return nil, nil
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	case '{':
		var v struct {
			F *string `json:"f"`
			B *string `json:"b"`
		}
		if err := json.Unmarshal(raw, &v); err != nil {
			return nil, err
		}
		switch {
		case v.F != nil:
			return strconv.ParseFloat(*v.F, 64)
		case v.B != nil:
			b, err := base64.StdEncoding.DecodeString(*v.B)
			return string(b), err
		}
		return nil, fmt.Errorf("a value has no form that this program knows")
	}
	return strconv.ParseInt(string(raw), 10, 64)
}
