package all

import (
	"strings"
	"testing"

	_ "github.com/vmware/govmomi/vapi/simulator" // content libraries, for the simulator of the lab

	"github.com/jarvisops/jarvis/lab"
	"github.com/jarvisops/jarvis/pipeline"
)

// TestVSphereAttributes: a clipboard's tags are custom attributes, which machines share; whoever adopts a machine is
// told of them, and they stay when it is given back.
func TestVSphereAttributes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, siteOf(t, "esx"))
	for _, host := range []string{"loki", "thor"} {
		w.ready(w.start(w.clipboard(host, "#place", "tags: {team: "+host+", cost: '42'}"), whole...))
	}
	for _, host := range []string{"loki", "thor"} {
		if facts := w.cloud.Facts(host); !strings.Contains(facts, "attribute cost=42\nattribute team="+host+"\n") {
			t.Errorf("%s has\n%s", host, facts)
		}
	}
	r := w.ready(w.start(w.clipboard("odin", "#place", "tags: {cost: '42'}"), whole...))
	id := w.engine.Value(r, "provider_id")
	w.engine = w.newEngine(w.cloud.Config())
	c := w.clipboard("odin")
	if err := c.Set("adopt_id", id); err != nil {
		t.Fatal(err)
	}
	lines := must(w.engine.Plan(w.Context(), pipeline.Request{Clipboard: c, Steps: []string{"esx:adopt"}}))(t)
	if !strings.Contains(lines[0].Text, "with the tags cost=42,") {
		t.Errorf("plan = %q", lines[0].Text)
	}
	w.undone(w.ready(w.start(c, "esx:adopt")))
	if facts := w.cloud.Facts("odin"); !strings.Contains(facts, "attribute cost=42\n") {
		t.Errorf("odin has\n%s", facts)
	}
}

// TestVSphereContentLibrary: a template may be an item of a content library. What cannot be cloned, and what is not
// there, is told with what there is, before anything is made.
func TestVSphereContentLibrary(t *testing.T) {
	for name, c := range map[string]struct{ said, want string }{
		"a VM template":   {"library:golden/debian12", ""},
		"an OVF":          {"library:golden/debian12-ovf", "is of the type ovf, and only a VM template can be cloned"},
		"a slip":          {"library:golden/debain12", `did you mean "debian12"?`},
		"no such library": {"library:gold/debian12", "has no content library \"gold\""},
		"no item":         {"library:golden", "write library:LIBRARY/ITEM"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, siteOf(t, "esx"), "{Debian 12: "+lab.Template+"}", "{Debian 12: \""+c.said+"\"}")
			if err := w.cloud.(*lab.VSphere).Library(t.Context(), "golden", "debian12", "debian12-ovf"); err != nil {
				t.Fatal(err)
			}
			if c.want != "" {
				w.Log(w.failed(w.start(w.clipboard("loki"), "keys:create", "sp:deploy"), c.want).Error)
				w.machines("debian12")
				return
			}
			lines := must(w.engine.Plan(w.Context(), pipeline.Request{Clipboard: w.clipboard("loki"), Steps: []string{"keys:create", "esx:deploy"}}))(t)
			if !strings.Contains(lines[1].Text, "would clone library:golden/debian12 to loki") {
				t.Errorf("plan = %q", lines[1].Text)
			}
			w.ready(w.start(w.clipboard("loki"), whole...))
			w.machines("debian12", "loki")
			// What the item is made of is never a host's machine.
			r := w.failed(w.start(w.clipboard("debian12", ".websages.com", ""), "sp:destroy"), "a template")
			w.Log(r.Error)
		})
	}
}
