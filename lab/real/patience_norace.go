//go:build !race

package real

const slowed = 1
