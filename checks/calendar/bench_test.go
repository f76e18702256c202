package calendar

import (
	"testing"
	"time"
)

// BenchmarkNext is the longest look there is: for a change that never comes.
func BenchmarkNext(b *testing.B) {
	for _, c := range []string{"00:00-24:00", "2026-01-05", "mon-sun 00:00-12:00,12:00-24:00"} {
		b.Run(c, func(b *testing.B) {
			for b.Loop() {
				p := one(b, "Europe/Berlin", c)
				if n := p.Next(time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)); !n.IsZero() {
					b.Fatal(n)
				}
			}
		})
	}
}
