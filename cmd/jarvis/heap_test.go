package main

import "testing"

func TestHeapPercent(t *testing.T) {
	for live, want := range map[uint64]int{0: 400, 5 << 20: 400, 12 << 20: 400, 24 << 20: 200, 48 << 20: 100, 96 << 20: 50, 10 << 30: 50} {
		if got := heapPercent(live); got != want {
			t.Errorf("%d MB: %d, want %d", live>>20, got, want)
		}
	}
}
