package web

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"

	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/internal/pattern"
)

// writeXML writes any value that has a JSON form: <answer>, the keys as elements, lists as one <item> each. So both
// forms always say the same.
func writeXML(w io.Writer, v any) error {
	b, err := contract.Marshal(v)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := element(enc, dec, "answer"); err != nil {
		return err
	}
	return enc.Close()
}

var xmlName = pattern.New(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// element copies one JSON value.
func element(enc *xml.Encoder, dec *json.Decoder, name string) error {
	t, err := dec.Token()
	if err != nil {
		return err
	}
	start := xml.StartElement{Name: xml.Name{Local: name}}
	if !xmlName.MatchString(name) {
		start = xml.StartElement{Name: xml.Name{Local: "entry"}, Attr: []xml.Attr{{Name: xml.Name{Local: "key"}, Value: name}}}
	}
	if err := enc.EncodeToken(start); err != nil {
		return err
	}
	switch t := t.(type) {
	case json.Delim:
		for dec.More() {
			child := "item"
			if t == '{' {
				key, err := dec.Token()
				if err != nil {
					return err
				}
				child, _ = key.(string)
			}
			if err := element(enc, dec, child); err != nil {
				return err
			}
		}
		if _, err := dec.Token(); err != nil {
			return err
		}
	case nil:
	default:
		if err := enc.EncodeToken(xml.CharData(fmt.Sprint(t))); err != nil {
			return err
		}
	}
	return enc.EncodeToken(start.End())
}

var errXMLBody = errors.New("requests are JSON; only answers come as XML")
