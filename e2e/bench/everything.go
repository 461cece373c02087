package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// everything is the table that README shows: each job once more, short, with every rival that is installed, in one run.
type everything struct {
	Runs   int    `default:"3" help:"How often each contender has its turn."`
	Smoke  bool   `help:"Small, one run, without network namespaces: that it runs, not how fast."`
	Dir    string `placeholder:"DIR" help:"Where file systems of their own are made (the folder for temporary files)."`
	Binary string `placeholder:"FILE" help:"The dicomesh to measure; built from this checkout if not given."`

	lines []line
}

// line is what one contender came to at one job. Values are of the runs, in unit; note says what has to be known to compare them.
type line struct {
	job, contender, unit string
	values               []float64
	note                 string
}

const mine = "dicomesh"

// Run measures and prints. A rival that is not installed is missing from the table, and that is said.
func (b *everything) Run(ctx context.Context) error {
	if b.Smoke {
		b.Runs = 1
	}
	for _, job := range []func(context.Context) error{b.taking, b.answering, b.replicating} {
		if err := job(ctx); err != nil {
			return err
		}
	}
	fmt.Println()
	if err := writeTable(os.Stdout, b.lines); err != nil {
		return err
	}
	_, err := fmt.Println("\n" + machine(ctx))
	return err
}

func (b *everything) add(job, contender, unit string, values []float64, note string) {
	if len(values) > 0 {
		b.lines = append(b.lines, line{job, contender, unit, values, note})
	}
}

// intake is what the job of taking in is called.
func (b *everything) intake() string {
	if b.Smoke {
		return "take in 20 CT slices"
	}
	return "take in 500 CT slices, 264 MB, on ext4"
}

// taking is one study into an archive, durably, and a copy of the same files.
func (b *everything) taking(ctx context.Context) error {
	one := &ingest{Pairs: b.Runs, Smoke: b.Smoke, Dir: b.Dir, Binary: b.Binary}
	samples, err := one.measure(ctx)
	if err != nil {
		return err
	}
	wall := func(s sample) time.Duration { return s.wall }
	b.add(b.intake(), mine, "s", seconds(samples[0], wall), "proven to come back byte for byte, and durable")
	b.add(b.intake(), "cp -r, sync -f", "s", seconds(samples[1], wall), "durable")
	return nil
}

// answering is the CPU of a server for a DICOMweb answer. Orthanc has to take the same study in first, which is timed on the way.
func (b *everything) answering(ctx context.Context) error {
	web := &webbing{Requests: 1000, Rounds: b.Runs, Studies: 1000, Smoke: b.Smoke, Dir: b.Dir, Binary: b.Binary}
	if err := web.Run(ctx); err != nil {
		return err
	}
	if web.took > 0 {
		b.add(b.intake(), "Orthanc", "s", []float64{web.took.Seconds()}, "POST /instances, one after the other; on the folder for temporary files, not synced")
	}
	for _, a := range web.asked {
		job := "answer: " + a.what
		b.add(job, mine, "ms of CPU", a.ours, "")
		b.add(job, "nginx", "ms of CPU", a.nginx, "the same files")
		b.add(job, "Orthanc", "ms of CPU", a.orthanc, "its DICOMweb plugin")
	}
	return nil
}

// replicating is a tree from one site to another: near, and far over a line that loses packets.
func (b *everything) replicating(ctx context.Context) error {
	if b.Smoke {
		return nil
	}
	contenders := []string{mine, "rsync-sync"}
	if _, err := exec.LookPath("syncthing"); err == nil {
		contenders = append(contenders, "syncthing")
	}
	names := map[string]string{mine: mine, "rsync-sync": "rsync's daemon, sync -f", "syncthing": "Syncthing, over TCP"}
	notes := map[string]string{mine: "verified and durable", "rsync-sync": "durable; knows nothing of when it has to run", "syncthing": "verified"}
	parts := []part{
		{name: "near", title: "replicate 499 MB in 20,040 files, LAN, ext4", scenario: "initial", contenders: contenders, disk: true},
		{name: "far", title: "replicate 3,000 files of 8 KiB, 50 ms, 0.5 % loss, 200 Mbit/s", scenario: "initial", contenders: contenders,
			options: []string{"--link", "wan", "--rtt-ms", "50", "--loss", "0.005", "--mbit", "200", "--limit", "400", "--small", "3000", "--large", "0"}},
	}
	harness := &replicate{Runs: b.Runs, Binary: b.Binary}
	return harness.each(ctx, parts, func(p part, r rows) {
		p.print(os.Stdout, r)
		for _, name := range contenders {
			var walls []float64
			for _, row := range r[name] {
				walls = append(walls, value(row, "wall"))
			}
			b.add(p.title, names[name], "s", walls, notes[name])
		}
	})
}

// writeTable prints lines by job, each beside the first of its job, which is dicomesh's. Where that loses, it says so.
func writeTable(w io.Writer, lines []line) error {
	var said strings.Builder
	said.WriteString("| job | | median | min | max | runs | dicomesh is | |\n|---|---|---|---|---|---|---|---|\n")
	ours := map[string]float64{}
	for _, l := range lines {
		if l.contender == mine {
			ours[l.job] = spreadOf(l.values).median
		}
	}
	for _, l := range lines {
		s := spreadOf(l.values)
		fmt.Fprintf(&said, "| %s | %s | %s %s | %s | %s | %d | %s | %s |\n", l.job, l.contender, figure(s.median), l.unit, figure(s.least), figure(s.most), len(l.values), beside(l, ours[l.job], s.median), l.note)
	}
	_, err := io.WriteString(w, said.String())
	return err
}

// beside is how dicomesh's median compares with a rival's: less is better, whatever was measured.
func beside(l line, ours, theirs float64) string {
	switch {
	case l.contender == mine || ours <= 0 || theirs <= 0:
		return ""
	case ours <= theirs:
		return figure(theirs/ours) + " x better"
	}
	return "**" + figure(ours/theirs) + " x worse**"
}

// figure has three digits that count, and never an exponent.
func figure(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// machine says on what, and against which versions, all of it was measured.
func machine(ctx context.Context) string {
	said := []string{fmt.Sprintf("%d CPUs%s", runtime.NumCPU(), processor()), runtime.GOOS + "/" + runtime.GOARCH, runtime.Version(), time.Now().UTC().Format("2006-01-02")}
	for _, program := range [][]string{{"uname", "-r"}, {"rsync", "--version"}, {"syncthing", "--version"}, {"/usr/sbin/Orthanc", "--version"}, {"/usr/sbin/nginx", "-v"}} {
		out, err := exec.CommandContext(ctx, program[0], program[1:]...).CombinedOutput()
		first, _, _ := strings.Cut(string(out), "\n")
		switch words := strings.Fields(first); {
		case errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist):
			said = append(said, filepath.Base(program[0])+" is not installed")
		case program[0] == "uname":
			release := strings.SplitN(first, ".", 3)
			said = append(said, "Linux "+strings.Join(release[:min(2, len(release))], "."))
		case err == nil:
			said = append(said, strings.Join(words[:min(len(words), versionWords(program[0]))], " "))
		}
	}
	return strings.Join(said, "; ")
}

// processor is the name that the kernel gives it, if it does.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	_, rest, found := strings.Cut(string(text), "model name")
	name, _, _ := strings.Cut(strings.TrimLeft(rest, "\t :"), "\n")
	if !found || name == "" {
		return ""
	}
	return " (" + name + ")"
}

// versionWords is how many words of what a program says of itself are its name and version.
func versionWords(program string) int {
	if filepath.Base(program) == "syncthing" || filepath.Base(program) == "Orthanc" {
		return 2
	}
	return 3
}
