package checks

import (
	"fmt"
	"slices"
	"testing"
)

// TestPartsMoveGently: a node that joins or goes moves little more than its own share, and nobody gets much more than
// others.
func TestPartsMoveGently(t *testing.T) {
	var peers []peer
	was := make([]peer, parts)
	for n := 1; n <= 20; n++ {
		peers = append(peers, peer{fmt.Sprint("life ", n*7919), fmt.Sprint("node", n), ",,home,"})
		back := slices.Clone(peers)
		slices.Reverse(back)
		before := was
		for _, order := range [][]peer{peers, back} {
			now := assign("", order)
			count := map[string]int{}
			moved := 0
			for i := range now {
				count[now[i].name]++
				if n > 1 && now[i] != before[i] {
					moved++
				}
			}
			least, most := parts, 0
			for _, c := range count {
				least, most = min(least, c), max(most, c)
			}
			if len(count) != n || most > parts*11/(10*n)+1 {
				t.Errorf("%d nodes have from %d to %d parts", n, least, most)
			}
			if moved > 2*parts/n+4 {
				t.Errorf("the join of node %d moved %d parts", n, moved)
			}
			was = now
			t.Logf("%2d nodes: %3d to %3d parts, %3d moved (1/n is %d)", n, least, most, moved, parts/n)
		}
	}
	inside := append(peers, peer{"life x", "inside", ",far,"})
	for _, p := range assign("", inside) {
		if p.name == "inside" {
			t.Fatal("a server in a silo, which may reach nothing else, has a part of the hub")
		}
	}
	if list := assign("far", inside); len(list) != parts || list[0].name != "inside" {
		t.Errorf("the silo's parts are with %v", list)
	}
	if list := assign("far", peers); list != nil {
		t.Errorf("a silo that nobody reaches has %v", list[0])
	}
}
