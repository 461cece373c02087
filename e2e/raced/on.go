//go:build race

package raced

const runs = true
