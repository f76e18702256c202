package checks

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/store"
)

// Hosts are in parts, and each part is checked by one node (docs/design/checks-nodes.md). A part is named by its silo
// and a number, or by the node that host_tasks name.

// parts is how many parts each silo has. What moves is never less than one.
const parts = 256

const pinned = "node " // begins the name of a part that one node must have

// shareOf gives the part of a host.
func shareOf(c *model.Catalog, host string) string {
	if pin := c.Pins[host]; pin != "" {
		return pinned + pin
	}
	return c.SiloOf(host) + "/" + strconv.Itoa(int(model.Part(host)*parts))
}

// peer is a node that may have parts. silos are those that it reaches, its own ("" is the hub's) and those of its
// agents, each between commas.
type peer struct{ holder, name, silos string }

func (p peer) reaches(silo string) bool { return strings.Contains(p.silos, ","+silo+",") }

// peersOf gives those lives that may have parts; through says which silos each reaches by agents. Of several with one
// name, which should not be, each counts.
func peersOf(lives []store.Life, through map[string][]string) []peer {
	var out []peer
	seen := map[string]int{}
	for _, l := range lives {
		if !l.Drains.IsZero() {
			continue
		}
		name := l.Node.Name
		if n := seen[name]; n > 0 {
			name = fmt.Sprint(name, " ", n+1)
		}
		seen[l.Node.Name]++
		out = append(out, peer{l.Holder, name, "," + strings.Join(append([]string{l.Node.Silo}, through[l.Holder]...), ",") + ","})
	}
	return out
}

// assign says which of these peers should have each part of a silo. Nil: none of them reaches it.
func assign(silo string, all []peer) []peer {
	peers := slices.DeleteFunc(slices.Clone(all), func(p peer) bool { return !p.reaches(silo) })
	if len(peers) == 0 {
		return nil
	}
	// Nobody gets much more than others; the slack is what keeps one change from moving everything.
	room := make([]int, len(peers))
	for i := range room {
		room[i] = (parts*11 + 10*len(peers) - 1) / (10 * len(peers))
	}
	type bid struct {
		weight uint64
		i      int
	}
	out := make([]peer, parts)
	bids := make([]bid, len(peers))
	for n := range out {
		for i, p := range peers {
			bids[i] = bid{weight(p.name, silo, n), i}
		}
		slices.SortFunc(bids, func(a, b bid) int {
			return cmp.Or(cmp.Compare(b.weight, a.weight), strings.Compare(peers[a.i].holder, peers[b.i].holder))
		})
		for _, b := range bids {
			if room[b.i] > 0 {
				room[b.i]--
				out[n] = peers[b.i]
				break
			}
		}
	}
	return out
}

// weight is a node's claim to a part: the highest has it (rendezvous hashing), so that few parts move when a node comes
// or goes.
func weight(name, silo string, n int) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s\x00%s\x00%d", name, silo, n) // never fails
	x := h.Sum64()
	// FNV's last bytes hardly reach its first bits (the end of splitmix64 mixes them).
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// plot is who should have each part, as one node sees it.
type plot struct {
	peers []peer
	silos map[string][]peer // made as they are asked for
}

func newPlot(peers []peer) *plot { return &plot{peers: peers, silos: map[string][]peer{}} }

// wants gives who should have a part, and false when there is nobody.
func (p *plot) wants(share string) (peer, bool) {
	if name, ok := strings.CutPrefix(share, pinned); ok {
		i := slices.IndexFunc(p.peers, func(x peer) bool { return x.name == name })
		if i < 0 {
			return peer{}, false
		}
		return p.peers[i], true
	}
	silo, number, _ := strings.Cut(share, "/")
	list, ok := p.silos[silo]
	if !ok {
		list = assign(silo, p.peers)
		p.silos[silo] = list
	}
	n, err := strconv.Atoi(number)
	if err != nil || n >= len(list) {
		return peer{}, false
	}
	return list[n], true
}
