// Package contract writes and reads the JSON that programs get of us: the HTTP API, and --json of the command line. Its
// form is a promise (docs/reference/json.md), so it is kept at one door and not at each field:
//
//	time.Duration   a number of seconds, with a fraction
//	time.Time       RFC 3339, with its zone
//	a nil list      [], and a nil map {}: there is no null where something can be counted
//	omitempty       as in encoding/json
//
// What the record keeps (encoding/json, in the database) is not written here: old rows must stay readable.
//
// The library is the mirror of encoding/json/v2, which is in the standard library from Go 1.27 on; then this file is
// all that changes.
package contract

import (
	"io"
	"math"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	legacy "github.com/go-json-experiment/json/v1"
)

var writing = json.JoinOptions(
	legacy.OmitEmptyWithLegacySemantics(true),
	json.Deterministic(true),
	jsontext.AllowInvalidUTF8(true), // it is written as U+FFFD: what a host says must not break an answer
	json.WithMarshalers(json.MarshalToFunc(func(enc *jsontext.Encoder, d time.Duration) error {
		return enc.WriteToken(jsontext.Float(d.Seconds()))
	})),
)

var reading = json.JoinOptions(
	json.MatchCaseInsensitiveNames(true), // as encoding/json does
	jsontext.AllowInvalidUTF8(true),
	json.WithUnmarshalers(json.UnmarshalFromFunc(func(dec *jsontext.Decoder, d *time.Duration) error {
		var s float64
		if err := json.UnmarshalDecode(dec, &s); err != nil {
			return err
		}
		*d = time.Duration(math.Round(s * float64(time.Second)))
		return nil
	})),
)

// Marshal gives a value as JSON.
func Marshal(v any) ([]byte, error) { return json.Marshal(v, writing) }

// Write writes a value as one line of JSON, in one call of Write.
func Write(w io.Writer, v any) error {
	b, err := Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// Unmarshal reads what Marshal wrote.
func Unmarshal(b []byte, v any) error { return json.Unmarshal(b, v, reading) }

// Reader reads values that follow each other.
type Reader struct{ dec *jsontext.Decoder }

// NewReader gives one.
func NewReader(r io.Reader) *Reader { return &Reader{jsontext.NewDecoder(r, reading)} }

// Read reads the next value; io.EOF after the last.
func (r *Reader) Read(v any) error { return json.UnmarshalDecode(r.dec, v, reading) }
