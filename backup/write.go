package backup

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/jarvisops/jarvis/store"
)

// Writer writes a backup. It is a store.Sink. Close makes it whole.
type Writer struct {
	sealed io.WriteCloser
	packed *zstd.Encoder
	out    *bufio.Writer
	line   []byte
	sums   Sums
}

// NewWriter begins a backup on w that any of the recipients can open.
func NewWriter(w io.Writer, h Header, to ...age.Recipient) (*Writer, error) {
	sealed, err := age.Encrypt(w, to...)
	if err != nil {
		return nil, fmt.Errorf("seal the backup: %w", err)
	}
	packed, err := zstd.NewWriter(sealed, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	b := &Writer{sealed: sealed, packed: packed, out: bufio.NewWriterSize(packed, 1<<16)}
	h.Format = Format
	return b, b.object(h)
}

// object writes v as one line of JSON.
func (w *Writer) object(v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		_, err = w.out.Write(append(b, '\n'))
	}
	return err
}

// File puts one in.
func (w *Writer) File(f File) error {
	w.sums.Files++
	return w.object(f)
}

// Table implements store.Sink.
func (w *Writer) Table(t store.Table) error {
	w.sums.Tables++
	return w.object(t)
}

// Row implements store.Sink.
func (w *Writer) Row(row []any) error {
	w.sums.Rows++
	b := append(w.line[:0], '[')
	for i, v := range row {
		if i > 0 {
			b = append(b, ',')
		}
		switch x := v.(type) {
		case nil:
			b = append(b, "null"...)
		case int64:
			b = strconv.AppendInt(b, x, 10)
		case float64:
			b = append(strconv.AppendFloat(append(b, `{"f":"`...), x, 'g', -1, 64), `"}`...)
		case string:
			if !utf8.ValidString(x) {
				b = append(base64.StdEncoding.AppendEncode(append(b, `{"b":"`...), []byte(x)), `"}`...)
				continue
			}
			text, err := json.Marshal(x)
			if err != nil {
				return err
			}
			b = append(b, text...)
		default:
			return fmt.Errorf("a backup has no form for a %T", v)
		}
	}
	w.line = append(b, ']', '\n')
	_, err := w.out.Write(w.line)
	return err
}

// Close writes the end. What was not closed is no backup.
func (w *Writer) Close() (Sums, error) {
	err := w.object(struct {
		End bool `json:"end"`
		Sums
	}{true, w.sums})
	return w.sums, errors.Join(err, w.out.Flush(), w.packed.Close(), w.sealed.Close())
}
