package web

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/command"
)

func TestEveryVerbIsAnOperation(t *testing.T) {
	for _, v := range command.Verbs() {
		if len(v.API) == 0 && v.Short == "" {
			t.Errorf("%s has no API: programs cannot do it", v.Name)
		}
	}
}

func TestTokensDoNotGoOutInClear(t *testing.T) {
	for _, c := range []struct {
		listen string
		http   HTTP
		want   string
	}{
		{"", HTTP{}, ""},
		{"127.0.0.1:8080", HTTP{}, ""},
		{"[::1]:8080", HTTP{}, ""},
		{"localhost:8080", HTTP{}, ""},
		{"0.0.0.0:8080", HTTP{}, "everybody on the way could read the tokens"},
		{":8080", HTTP{}, "everybody on the way could read the tokens"},
		{"192.0.2.1:8080", HTTP{}, "everybody on the way could read the tokens"},
		{"192.0.2.1:8080", HTTP{Plain: true}, ""},
		{"192.0.2.1:8080", HTTP{TLS: TLS{Cert: "c.pem", Key: "k.pem"}}, ""},
		{"127.0.0.1:8080", HTTP{TLS: TLS{Cert: "c.pem"}}, "http.tls needs both cert and key"},
		{"8080", HTTP{}, "it must be host:port"},
	} {
		err := c.http.check(c.listen)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q %+v: %v; want %q", c.listen, c.http, err, c.want)
		}
	}
}

// FuzzXML: whatever has a JSON form has a well-formed XML form.
func FuzzXML(f *testing.F) {
	f.Add([]byte(`{"lines":["a","<b>&\u0000"],"9 x":{"":null},"n":1.50}`))
	f.Add([]byte(`"\ud800\uffff"`))
	f.Add([]byte(`[[[]]]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var v any
		if json.Unmarshal(b, &v) != nil {
			return
		}
		var out bytes.Buffer
		if err := writeXML(&out, v); err != nil {
			t.Fatal(err)
		}
		dec := xml.NewDecoder(&out)
		for {
			if _, err := dec.Token(); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				t.Fatalf("%q: %v", b, err)
			}
		}
	})
}
