package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// spread is the middle and the ends of some measurements.
type spread struct{ least, median, most float64 }

// spreadOf takes at least one value; the median of an even number is the mean of the two in the middle.
func spreadOf(values []float64) spread {
	v := slices.Sorted(slices.Values(values))
	return spread{v[0], (v[(len(v)-1)/2] + v[len(v)/2]) / 2, v[len(v)-1]}
}

// seconds are the samples' times.
func seconds(samples []sample, of func(sample) time.Duration) []float64 {
	var out []float64
	for _, s := range samples {
		out = append(out, of(s).Seconds())
	}
	return out
}

// report prints what pairs measured, as a table that a README can show. The input is what was brought from source to target.
func report(w io.Writer, title string, input usage, both [2]contender, samples [2][]sample) error {
	_, err := fmt.Fprintf(w, "%s: %d files, %.1f MB, %d pairs\n\n| | median s | min | max | files per CPU second | peak MB | stored / input | with folders |\n|---|---|---|---|---|---|---|---|\n",
		title, input.files, float64(input.fileBytes)/1e6, len(samples[0]))
	if err != nil {
		return err
	}
	for i, c := range both {
		wall := spreadOf(seconds(samples[i], func(s sample) time.Duration { return s.wall }))
		cpu := spreadOf(seconds(samples[i], func(s sample) time.Duration { return s.cpu }))
		last := samples[i][len(samples[i])-1]
		_, err := fmt.Fprintf(w, "| %s | %.3f | %.3f | %.3f | %.0f | %.0f | %.4f | %.4f |\n", c.name, wall.median, wall.least, wall.most,
			float64(input.files)/cpu.median, float64(last.peak)/1e6, float64(last.stored.fileBytes)/float64(input.fileBytes),
			float64(last.stored.bytes)/float64(input.bytes))
		if err != nil {
			return err
		}
	}
	ratios := make([]float64, len(samples[0]))
	for i := range ratios {
		ratios[i] = samples[0][i].wall.Seconds() / samples[1][i].wall.Seconds()
	}
	r := spreadOf(ratios)
	_, err = fmt.Fprintf(w, "\n%s takes %.2f times as long as %s (median of pairs; %.2f to %.2f)\n", both[0].name, r.median, both[1].name, r.least, r.most)
	return err
}
