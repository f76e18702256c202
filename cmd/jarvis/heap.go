package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The live heap of a server is a few megabytes, and at Go's default it is collected hundreds of times a second under
// load. Five times that heap is still little, and half as much again in speed (docs/design/performance.md). A heap that
// is large, as under a siege of thousands of connections, is collected sooner: what it may have beside what lives has a
// bound.
const (
	gcPercent = 400      // while the heap is small
	gcLeast   = 50       // however large it is
	gcRoom    = 48 << 20 // bytes that may wait to be collected, as long as that is between the two
	gcEvery   = 500 * time.Millisecond
)

// heapPercent gives GOGC for a live heap.
func heapPercent(live uint64) int {
	return min(max(int(gcRoom*100/max(live, 1)), gcLeast), gcPercent)
}

// tendHeap sets how often garbage is collected, until ctx ends. Whoever set GOGC knows better.
func tendHeap(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		<-ctx.Done()
		return nil
	}
	is := gcPercent
	debug.SetGCPercent(is)
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	t := time.NewTicker(gcEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		metrics.Read(live)
		// To set it stops the world for a moment, so small changes are left out.
		if want := heapPercent(live[0].Value.Uint64()); want < is*9/10 || want > is*11/10 || want == gcPercent && is != want {
			is = want
			debug.SetGCPercent(is)
		}
	}
}
