package real

import (
	"encoding/xml"
	"slices"
	"sync"

	"gosrc.io/xmpp/stanza"
)

// gosrc.io/xmpp reads stanzas one by one, and gives each to a goroutine of its own, so that their order is lost. What
// is read in order are the parts of a stanza: those that people see take a place in the queue of their stream there,
// and their goroutines wait for it.

// place is one place in the queue of a stream: before is closed when all that came earlier are through.
type place struct{ before, through chan struct{} }

// queues are the last places, by stream. They stay as long as the program: they are those of tests.
var queues = struct {
	sync.Mutex
	last map[*xml.Decoder]chan struct{}
}{last: map[*xml.Decoder]chan struct{}{}}

// take is called while a stanza is read.
func (p *place) take(stream *xml.Decoder) {
	queues.Lock()
	defer queues.Unlock()
	p.before, p.through = queues.last[stream], make(chan struct{})
	queues.last[stream] = p.through
}

// inOrder does it when all that came earlier on the stream are through. It must be called for each place that was
// taken.
func (p *place) inOrder(do func()) {
	if p.before != nil {
		<-p.before
	}
	do()
	close(p.through)
}

// xmppBody is the text of a message.
type xmppBody struct {
	place
	Text string
}

// UnmarshalXML is called by the library, in the order of the stream.
func (b *xmppBody) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	if err := d.DecodeElement(&b.Text, &start); err != nil {
		return err
	}
	b.take(d)
	return nil
}

// xmppOccupant is what a room says of who is in it (XEP-0045 section 15.5.2); the library does not know it.
type xmppOccupant struct {
	place
	codes []int
}

// UnmarshalXML is called by the library, in the order of the stream.
func (o *xmppOccupant) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	var x struct {
		Status []struct {
			Code int `xml:"code,attr"`
		} `xml:"status"`
	}
	if err := d.DecodeElement(&x, &start); err != nil {
		return err
	}
	for _, s := range x.Status {
		o.codes = append(o.codes, s.Code)
	}
	o.take(d)
	return nil
}

// made tells that the room did not exist before.
func (o *xmppOccupant) made() bool { return slices.Contains(o.codes, 201) }

// learnXMPP tells the library of both, once.
var learnXMPP = sync.OnceFunc(func() {
	stanza.TypeRegistry.MapExtension(stanza.PKTMessage, xml.Name{Space: stanza.NSClient, Local: "body"}, xmppBody{})
	stanza.TypeRegistry.MapExtension(stanza.PKTPresence, xml.Name{Space: "http://jabber.org/protocol/muc#user", Local: "x"}, xmppOccupant{})
})
