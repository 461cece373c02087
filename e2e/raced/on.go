//go:build race

package raced

// On says that the race detector runs.
const On = true
