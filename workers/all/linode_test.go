package all

import (
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/lab"
	lablinode "github.com/jarvisops/jarvis/lab/linode"
	"github.com/jarvisops/jarvis/pipeline"
)

func linodeWorld(t *testing.T) (*world, *lablinode.Server) {
	t.Helper()
	t.Parallel()
	w := newWorld(t, siteOf(t, "linode"))
	return w, w.cloud.(*lablinode.Server)
}

// volumes makes sure that these are all there are: how each ends, in the order of their labels.
func (w *world) volumes(cloud *lablinode.Server, want ...string) {
	w.Helper()
	got := cloud.Volumes()
	if len(got) != len(want) {
		w.Fatalf("volumes = %q, want %q", got, want)
	}
	for i := range got {
		if !strings.HasSuffix(got[i], want[i]) {
			w.Errorf("volumes = %q, want %q", got, want)
		}
	}
}

// TestLinodeVolumes: a machine's further disks are there before it boots, once, and go with it; no other goes.
func TestLinodeVolumes(t *testing.T) {
	disks := said{lines: "disks: [{size: 10GB}, {size: 20GB, mount: /srv}]"}
	t.Run("they come before the first boot, and go when the machine goes", func(t *testing.T) {
		w, cloud := linodeWorld(t)
		other := w.clipboard("thor")
		if err := other.Set("disks", []map[string]string{{"size": "30GB"}}); err != nil {
			t.Fatal(err)
		}
		w.ready(w.start(other, whole...))
		r := w.ready(w.start(w.with(disks), append(whole, whole...)...))
		for _, s := range w.said(r, pipeline.EvDone)[len(whole):] {
			if !strings.Contains(s, "nothing to do") {
				w.Errorf("a second pass said %q", s)
			}
		}
		w.volumes(cloud, "-1: 30 GB at thor.websages.com", "-1: 10 GB at loki.websages.com", "-2: 20 GB at loki.websages.com")
		lines := must(w.engine.Plan(w.Context(), pipeline.Request{Clipboard: w.with(disks), Steps: []string{"keys:create", "linode:deploy"}}))(t)
		if !strings.Contains(lines[1].Text, "a Volume of 20 GB (not in the price)") {
			t.Errorf("plan = %q", lines[1].Text)
		}
		w.ready(w.start(w.clipboard("loki"), "sp:shutdown", "sp:destroy"))
		w.machines("thor")
		w.volumes(cloud, "-1: 30 GB at thor.websages.com")
	})
	t.Run("an undo while they are being made leaves none", func(t *testing.T) {
		w, cloud := linodeWorld(t)
		cloud.Chaos().Next(lab.Denied, "POST /v4/volumes", 1)
		r := w.failed(w.start(w.with(disks), whole...), "make the disk jarvis-")
		w.undone(r)
		w.machines()
		w.volumes(cloud)
		w.undone(w.ready(w.start(w.with(disks), whole...)))
		w.machines()
		w.volumes(cloud)
	})
	t.Run("answers that are lost make no second one, and leave none", func(t *testing.T) {
		w, cloud := linodeWorld(t)
		cloud.Chaos().Next(lab.Lost, "POST /v4/volumes", 1)
		cloud.Chaos().Next(lab.LostLate, "POST /v4/volumes", 1) // and it is not shown at once
		r := w.ready(w.start(w.with(disks), whole...))
		w.volumes(cloud, "-1: 10 GB at loki.websages.com", "-2: 20 GB at loki.websages.com")
		for _, call := range []string{"PUT /v4/volumes", "DELETE /v4/volumes"} {
			cloud.Chaos().Next(lab.Lost, call, 1)
		}
		w.undone(r)
		w.machines()
		w.volumes(cloud)
	})
	t.Run("one that somebody detached to keep it stays", func(t *testing.T) {
		w, cloud := linodeWorld(t)
		w.ready(w.start(w.with(disks), whole...))
		label, _, _ := strings.Cut(strings.TrimPrefix(cloud.Volumes()[1], "volume "), ":")
		cloud.Detach(label)
		w.ready(w.start(w.clipboard("loki"), "sp:destroy"))
		w.machines()
		w.volumes(cloud, label+": 20 GB at nowhere")
	})
	t.Run("a machine that is adopted brings its own along", func(t *testing.T) {
		w, cloud := linodeWorld(t)
		r := w.ready(w.start(w.with(disks), whole...))
		id := w.engine.Value(r, "provider_id")
		theirs := w.engine
		w.engine = w.newEngine(w.cloud.Config())
		c := w.clipboard("loki")
		if err := c.Set("adopt_id", id); err != nil {
			t.Fatal(err)
		}
		w.undone(w.ready(w.start(c.Clone(), "linode:adopt")))
		mine := w.engine
		w.engine = theirs
		w.ready(w.start(w.with(disks), "sp:shutdown", "sp:startup")) // given back, it is theirs
		w.engine = mine
		w.ready(w.start(c, "linode:adopt"))
		w.ready(w.start(w.clipboard("loki"), "sp:destroy"))
		w.machines()
		w.volumes(cloud)
	})
	t.Run("a token that may not see them can delete machines", func(t *testing.T) {
		w, cloud := linodeWorld(t)
		w.ready(w.start(w.clipboard("loki"), whole...))
		cloud.Chaos().Next(lab.Denied, "GET /v4/volumes", 100)
		w.ready(w.start(w.clipboard("loki"), "sp:destroy"))
		w.machines()
	})
	t.Run("what Linode cannot make is told before anything is made", func(t *testing.T) {
		w, cloud := linodeWorld(t)
		for lines, words := range map[string]string{
			"disks: [{size: 5GB}]":  "at Linode a disk has 10 to 16384 GB",
			"disks: [{size: 17TB}]": "at Linode a disk has 10 to 16384 GB",
			"disks: [{size: 10GB}, {size: 10GB}, {size: 10GB}, {size: 10GB}, {size: 10GB}, {size: 10GB}, {size: 10GB}]": "takes 6 beside its own, and the clipboard has 7",
		} {
			r := w.failed(w.start(w.with(said{lines: lines}), "keys:create", "sp:deploy"), words)
			must(w.engine.Cancel(w.Context(), r.ID, pipeline.Who{Name: "alice"}))(t)
		}
		w.machines()
		w.volumes(cloud)
	})
}
