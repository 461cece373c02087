package main

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// allParts are the bounds that the project holds itself to.
func allParts() []part {
	wan := []string{"--link", "wan", "--rtt-ms", "50", "--loss", "0.005", "--mbit", "200", "--limit", "400"}
	lanBounds := []bound{
		{what: "times rsync's daemon and sync -f", of: ratio("wall", mine, "rsync-sync"), most: 1.5},
		{what: "times quicraw", of: ratio("wall", mine, "quicraw-pack"), most: 1.3},
		{what: "CPU, times rsync's", of: ratio("cpu", mine, "rsync-sync")},
		{what: "CPU, times quicraw's", of: ratio("cpu", mine, "quicraw-pack")},
	}
	lan := []string{mine, "rsync-sync", "quicraw-pack"}
	return []part{
		{name: "lan", title: "LAN, 20,000 x 8 KiB and 40 x 8 MiB, in memory", scenario: "initial", contenders: lan, bounds: lanBounds},
		{name: "disk", title: "LAN, 20,000 x 8 KiB and 40 x 8 MiB, ext4", scenario: "initial", contenders: lan, bounds: lanBounds, disk: true},
		{name: "wan", title: "50 ms, 0.5 % loss, 200 Mbit/s: 6,000 x 8 KiB", scenario: "initial", contenders: []string{mine, "quicraw-pack32c", "rsync-sync"},
			options: append(wan, "--small", "6000", "--large", "0"), bounds: []bound{
				{what: "times as fast as rsync", of: ratio("wall", "rsync-sync", mine), least: 5},
				{what: "times as fast as quicraw on 32", of: ratio("wall", "quicraw-pack32c", mine), least: 0.8},
				{what: "MB resident", of: resident(""), most: 256},
			}},
		{name: "large", title: "the same path: 12 x 8 MiB", scenario: "initial", contenders: []string{mine, "quicraw-pack8c"},
			options: append(wan, "--small", "0", "--large", "12"), bounds: []bound{
				{what: "times as fast as quicraw on 8", of: ratio("wall", "quicraw-pack8c", mine), least: 2},
				{what: "MB resident", of: resident(""), most: 256},
			}},
		{name: "fresh", title: "LAN, one new study, 300 x 512 KiB and 300 x 4 KiB", scenario: "latency", contenders: []string{mine},
			options: []string{"--small", "1000", "--large", "2"}, bounds: []bound{{what: "s from the last write to level", of: median("lag", mine), most: 2}}},
		{name: "equal", title: "two equal archives, 200,000 x 1 KiB", scenario: "noop", contenders: []string{mine},
			options: []string{"--small", "200000", "--small-size", "1024", "--large", "0", "--limit", "900"}, bounds: []bound{
				{what: "s from the link to knowing it", of: inner("restart", "know"), most: 0.1},
				{what: "s from a cold start to knowing it", of: inner("restart", "wall"), most: 1.5},
				{what: "kB for it, start included", of: kilobytes("restart"), most: 64},
				{what: "MB resident when idle", of: resident("idle"), most: 100},
			}},
		lossPart("0", 1, 1), lossPart("0.001", 2, 0), lossPart("0.005", 8, 0),
	}
}

// lossPart is what a bundle comes to on a path that loses so much.
func lossPart(loss string, least, most float64) part {
	return part{name: "loss", title: "the bundle, 50 ms, 200 Mbit/s, loss " + loss, scenario: "initial", contenders: []string{"dicomesh"},
		options: []string{"--link", "wan", "--loss", loss, "--small", "12000", "--large", "0", "--limit", "400"},
		bounds:  []bound{{what: "connections", of: bundle, least: least, most: most}}}
}

func smokeParts() []part {
	return []part{{name: "smoke", title: "smoke", scenario: "initial", contenders: []string{"dicomesh", "quicraw-pack"},
		options: []string{"--small", "100", "--large", "1", "--large-size", "5242880", "--limit", "60"},
		bounds:  []bound{{what: "times quicraw", of: ratio("wall", "dicomesh", "quicraw-pack")}}}}
}

// value is a figure of a row; cpu is that of both ends.
func value(row map[string]any, key string) float64 {
	if key == "cpu" {
		return value(row, "cpuA") + value(row, "cpuB")
	}
	v, _ := row[key].(float64)
	return v
}

func medianOf(all []map[string]any, key string) float64 {
	var values []float64
	for _, row := range all {
		values = append(values, value(row, key))
	}
	if len(values) == 0 {
		return math.NaN()
	}
	return spreadOf(values).median
}

func ratio(key, over, under string) func(rows) float64 {
	return func(r rows) float64 { return medianOf(r[over], key) / medianOf(r[under], key) }
}

func median(key, name string) func(rows) float64 {
	return func(r rows) float64 { return medianOf(r[name], key) }
}

// within are dicomesh's rows of one stage of a run; of the whole run if stage is "".
func within(r rows, stage string) (all []map[string]any) {
	for _, row := range r["dicomesh"] {
		if inner, is := row[stage].(map[string]any); is {
			all = append(all, inner)
		} else if stage == "" {
			all = append(all, row)
		}
	}
	return all
}

func inner(stage, key string) func(rows) float64 {
	return func(r rows) float64 { return medianOf(within(r, stage), key) }
}

func kilobytes(stage string) func(rows) float64 {
	return func(r rows) float64 {
		return (medianOf(within(r, stage), "wireAB") + medianOf(within(r, stage), "wireBA")) / 1e3
	}
}

// resident is the larger end's memory.
func resident(stage string) func(rows) float64 {
	return func(r rows) float64 {
		return max(medianOf(within(r, stage), "rssA"), medianOf(within(r, stage), "rssB"))
	}
}

// bundle is how many connections a link came to.
func bundle(r rows) float64 {
	last := 0.0
	for _, row := range r["dicomesh"] {
		steps, _ := row["bundle"].([]any)
		for _, step := range steps {
			if pair, is := step.([]any); is && len(pair) == 2 {
				n, _ := pair[1].(float64)
				last = max(last, n)
			}
		}
	}
	return last
}

// print prints what was measured, and returns the bounds that were missed.
func (p part) print(w io.Writer, r rows) (missed []string) {
	fmt.Fprintf(w, "\n%s\n\n| | s | CPU s A + B | MB there / back | MB resident A / B | connections (s, number) | load |\n|---|---|---|---|---|---|---|\n", p.title)
	for _, name := range p.contenders {
		for _, row := range r[name] {
			stages := []string{""}
			if p.scenario == "noop" {
				stages = []string{"index", "restart", "idle"}
			}
			for _, stage := range stages {
				x, is := row[stage].(map[string]any)
				if !is {
					x = row
				}
				fmt.Fprintf(w, "| %s | %.2f | %.2f + %.2f | %.2f / %.2f | %.0f / %.0f | %v | %.1f |\n", strings.TrimSpace(name+" "+stage), value(x, "wall"),
					value(x, "cpuA"), value(x, "cpuB"), value(x, "wireAB")/1e6, value(x, "wireBA")/1e6, value(x, "rssA"), value(x, "rssB"), orNothing(x["bundle"]), value(row, "load"))
			}
		}
	}
	fmt.Fprintln(w)
	for _, b := range p.bounds {
		got := b.of(r)
		held := !math.IsNaN(got) && (b.least == 0 || got >= b.least) && (b.most == 0 || got <= b.most)
		fmt.Fprintf(w, "- %.3g %s%s\n", got, b.what, b.words(held))
		if !held {
			missed = append(missed, fmt.Sprintf("%s: %.3g %s", p.title, got, b.what))
		}
	}
	return missed
}

func orNothing(v any) any {
	if v == nil {
		return ""
	}
	return v
}

func (b bound) words(held bool) string {
	var limits []string
	if b.least > 0 {
		limits = append(limits, fmt.Sprintf("at least %g", b.least))
	}
	if b.most > 0 {
		limits = append(limits, fmt.Sprintf("at most %g", b.most))
	}
	if len(limits) == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s: %s)", strings.Join(limits, ", "), map[bool]string{true: "held", false: "missed"}[held])
}
