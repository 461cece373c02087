package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	intake "github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/regen"
)

// regenerate measures rounds of package regen: by the binary those that begin with nothing in memory, and in this process, as an agent does, one for an instance more.
type regenerate struct {
	Runs   int    `default:"5" help:"How often each round is measured; medians are printed."`
	Smoke  bool   `help:"20 slices, one run, in a temporary folder without a file system of its own."`
	Dir    string `placeholder:"DIR" help:"Where the ext4 image lies (the folder for temporary files)."`
	Binary string `placeholder:"FILE" help:"The dicomesh to measure; built from this checkout if not given."`

	folder, binary string
}

// The bounds that the project holds itself to, in seconds of CPU; the last is a ratio.
const (
	mostFirst     = 1.0
	mostThumbnail = 0.005
	mostNothing   = 0.1
	mostOneMore   = 1.5
)

// Run measures and prints.
func (b *regenerate) Run(ctx context.Context) (err error) {
	if b.Dir == "" {
		b.Dir = os.TempDir()
	}
	place := ingest{Smoke: b.Smoke, Dir: b.Dir, Binary: b.Binary}
	var done func() error
	if b.folder, done, err = place.place(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	if b.binary, err = place.binary(ctx, b.folder); err != nil {
		return err
	}
	source := filepath.Join(b.folder, "source")
	size := shape{5, 100, false}
	if b.Smoke {
		size, b.Runs = shape{2, 10, false}, 1
	}
	if err := makeStudy(ctx, source, size, b.Smoke); err != nil {
		return err
	}
	rows, err := b.rows(ctx, source, size.series*size.instances)
	if err != nil {
		return err
	}
	return b.print(fmt.Sprintf("%d slices of 512 by 512 in %d series", size.series*size.instances, size.series), rows)
}

// row is one measured thing.
type row struct {
	what       string
	cpu, wall  []float64
	most       float64
	unit, note string
}

func (b *regenerate) rows(ctx context.Context, source string, slices int) ([]row, error) {
	tree := filepath.Join(b.folder, "tree")
	if err := command(ctx, b.binary, "ingest", "--tree", tree, source); err != nil {
		return nil, err
	}
	first := row{what: "first regeneration without thumbnails", most: mostFirst, unit: "s"}
	nothing := row{what: "a round with nothing to do", most: mostNothing, unit: "s", note: "with the start of the process"}
	with := row{what: "first regeneration with thumbnails", unit: "s"}
	each := row{what: "each thumbnail", most: mostThumbnail, unit: "s", note: "the difference"}
	for range b.Runs {
		bare, idle, err := b.twice(ctx, tree, "--no-thumbnails")
		if err != nil {
			return nil, err
		}
		full, _, err := b.twice(ctx, tree)
		if err != nil {
			return nil, err
		}
		first.add(bare.cpu, bare.wall)
		nothing.add(idle.cpu, idle.wall)
		with.add(full.cpu, full.wall)
		if made := full.files - bare.files; made < int64(slices) {
			return nil, fmt.Errorf("%d thumbnails were made of %d slices", made, slices)
		}
		n := time.Duration(slices) // a series has one of theirs
		each.add((full.cpu-bare.cpu)/n, (full.wall-bare.wall)/n)
	}
	more, err := b.oneMore(ctx, source)
	return append([]row{first, nothing, with, each}, more...), err
}

func (r *row) add(cpu, wall time.Duration) {
	r.cpu, r.wall = append(r.cpu, cpu.Seconds()), append(r.wall, wall.Seconds())
}

// timed is one run of the binary.
type timed struct {
	cpu, wall time.Duration
	files     int64
}

// twice regenerates into a new folder, and again. The second round has to write nothing.
func (b *regenerate) twice(ctx context.Context, tree string, flags ...string) (first, second timed, err error) {
	current := filepath.Join(b.folder, "current")
	defer func() { err = errors.Join(err, os.RemoveAll(current)) }()
	if err := command(ctx, "sync", "-f", b.folder); err != nil {
		return first, second, err
	}
	if first, err = b.round(ctx, tree, current, flags...); err != nil {
		return first, second, err
	}
	var all usage
	if all, err = measureFolder(filepath.Join(current, "studies")); err != nil {
		return first, second, err
	}
	first.files = int64(all.files)
	second, err = b.round(ctx, tree, current, flags...)
	if err == nil && second.files != 0 {
		err = fmt.Errorf("a second round wrote %d files", second.files)
	}
	return first, second, err
}

// round runs the binary once; files is how many it wrote.
func (b *regenerate) round(ctx context.Context, tree, current string, flags ...string) (timed, error) {
	cmd := exec.CommandContext(ctx, b.binary, append([]string{"regen", "--json", "--tree", tree, "--current", current}, flags...)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	began := time.Now()
	out, err := cmd.Output()
	t := timed{wall: time.Since(began)}
	if err != nil {
		return t, fmt.Errorf("regen: %w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	t.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	var studies int
	if _, err := fmt.Sscanf(string(out), `{"studies":%d,"written":%d`, &studies, &t.files); err != nil {
		return t, fmt.Errorf("regen --json says %q: %w", out, err)
	}
	return t, nil
}

// oneMore measures rounds after one more instance each, and beside each what writing the files of that instance's series costs.
func (b *regenerate) oneMore(ctx context.Context, source string) ([]row, error) {
	debug.SetGCPercent(400) // little is live here: about as often as the program collects
	g, err := newGrown(ctx, b.folder, source)
	if err != nil {
		return nil, err
	}
	defer g.close()
	round := row{what: "one more instance", unit: "s", note: "in a process that runs, like the agent's"}
	alone := row{what: "its series' files alone, from scratch", unit: "s", note: "a study of that series, all its files"}
	json := row{what: "its series' two files of JSON, written alone", unit: "s", note: "compressed, written, synced, named"}
	ratio := row{what: "one more instance / its series' files", most: mostOneMore, unit: "times"}
	strict := row{what: "one more instance / the two files of JSON", unit: "times", note: "what bounds it: regen/DESIGN.md"}
	for n := range max(b.Runs, 3) {
		more, err := g.more(ctx)
		if err != nil {
			return nil, err
		}
		whole, err := g.seriesAlone(ctx, n)
		if err != nil {
			return nil, err
		}
		two, err := g.writeJSON()
		if err != nil {
			return nil, err
		}
		round.add(more.cpu, more.wall)
		alone.add(whole.cpu, whole.wall)
		json.add(two.cpu, two.wall)
		ratio.cpu = append(ratio.cpu, more.cpu.Seconds()/whole.cpu.Seconds())
		ratio.wall = append(ratio.wall, more.wall.Seconds()/whole.wall.Seconds())
		strict.cpu = append(strict.cpu, more.cpu.Seconds()/two.cpu.Seconds())
		strict.wall = append(strict.wall, more.wall.Seconds()/two.wall.Seconds())
	}
	return []row{round, alone, json, ratio, strict}, nil
}

// grown is a study that lacks some instances of its last series.
type grown struct {
	folder, source string
	tree, current  *durable.OS
	uid            dedup.UID
	regen          *regen.Generator
	series         []string // the files of the last series
	missing        []string // of them
}

func newGrown(ctx context.Context, folder, source string) (*grown, error) {
	g := &grown{folder: folder, source: source}
	var files []string
	err := filepath.WalkDir(source, func(p string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, p)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	last := filepath.Dir(files[len(files)-1])
	for _, f := range files {
		if filepath.Dir(f) == last {
			g.series = append(g.series, f)
		}
	}
	if g.tree, err = openNew(folder, "grown-tree"); err != nil {
		return nil, err
	}
	if g.current, err = openNew(folder, "grown-current"); err != nil {
		return nil, errors.Join(err, g.tree.Close())
	}
	g.missing = g.series[max(1, len(g.series)-10):]
	if g.uid, err = put(g.tree, files[:len(files)-len(g.missing)]); err != nil {
		return nil, err
	}
	g.regen = regen.New(regen.Config{Archive: g.tree, Current: g.current, NoThumbnails: true,
		Share: func(from, to string) error { return durable.Share(g.tree, from, g.current, to) }})
	_, err = g.regen.Study(ctx, g.uid, time.Now())
	return g, err
}

func (g *grown) close() { _, _ = g.tree.Close(), g.current.Close() }

func openNew(folder, name string) (*durable.OS, error) {
	dir := filepath.Join(folder, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	return durable.OpenOS(dir)
}

// put ingests files and says of which study they are.
func put(tree *durable.OS, files []string) (uid dedup.UID, err error) {
	in, err := intake.Open(tree)
	if err != nil {
		return uid, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	batch, err := in.OpenBatch()
	if err != nil {
		return uid, err
	}
	defer batch.Discard()
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return uid, err
		}
		batch.Add(name, bytes.NewReader(b), int64(len(b)))
	}
	for _, res := range batch.Commit() {
		if res.Err != nil {
			return uid, res.Err
		}
		uid = res.Study
	}
	return uid, nil
}

// more ingests the next instance and measures the round after it.
func (g *grown) more(ctx context.Context) (timed, error) {
	if len(g.missing) == 0 {
		return timed{}, errors.New("all instances are there")
	}
	if _, err := put(g.tree, g.missing[:1]); err != nil {
		return timed{}, err
	}
	g.missing = g.missing[1:]
	return measured(func() error {
		_, err := g.regen.Study(ctx, g.uid, time.Now())
		return err
	})
}

// seriesAlone measures the first regeneration of a study that has nothing but the series.
func (g *grown) seriesAlone(ctx context.Context, n int) (timed, error) {
	tree, err := openNew(g.folder, fmt.Sprint("series-tree-", n))
	if err != nil {
		return timed{}, err
	}
	defer tree.Close()
	current, err := openNew(g.folder, fmt.Sprint("series-current-", n))
	if err != nil {
		return timed{}, err
	}
	defer current.Close()
	if _, err := put(tree, g.series); err != nil {
		return timed{}, err
	}
	one := regen.New(regen.Config{Archive: tree, Current: current, NoThumbnails: true,
		Share: func(from, to string) error { return durable.Share(tree, from, current, to) }})
	return measured(func() error {
		_, err := one.Study(ctx, g.uid, time.Now())
		return err
	})
}

// writeJSON measures how long it takes to compress the two files of the last series and to store them durably.
func (g *grown) writeJSON() (timed, error) {
	dirs, err := filepath.Glob(filepath.Join(g.folder, "grown-current/studies/*/series/*"))
	if err != nil || len(dirs) == 0 {
		return timed{}, fmt.Errorf("no series: %w", err)
	}
	var texts [][]byte
	for _, name := range []string{"metadata.gz", "instances.gz"} {
		text, err := unzipped(filepath.Join(g.largest(dirs), name))
		if err != nil {
			return timed{}, err
		}
		texts = append(texts, text)
	}
	barrier, err := g.current.Barrier()
	if err != nil {
		return timed{}, err
	}
	defer barrier.Close()
	return measured(func() error {
		for n, text := range texts {
			if err := replace(g.current, barrier, fmt.Sprint("written-", n), text); err != nil {
				return err
			}
		}
		return barrier.SyncAll()
	})
}

// replace compresses, writes, syncs and names one file.
func replace(fsys *durable.OS, barrier durable.Barrier, name string, text []byte) error {
	f, err := fsys.Create(name + ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(dedup.Compress(nil, text))
	if err := errors.Join(err, f.Close(), barrier.SyncAll()); err != nil {
		return err
	}
	return fsys.Replace(name+".new", name)
}

// largest is the folder that holds the most.
func (g *grown) largest(dirs []string) string {
	return slices.MaxFunc(dirs, func(a, b string) int { return sizeOf(a+"/metadata.gz") - sizeOf(b+"/metadata.gz") })
}

func sizeOf(name string) int {
	info, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return int(info.Size())
}

func unzipped(name string) ([]byte, error) {
	out, err := exec.Command("gzip", "-dc", name).Output()
	if err != nil {
		return nil, fmt.Errorf("gzip -dc %s: %w", name, err)
	}
	return out, nil
}

// measured is the CPU time of this process, and the time, that work takes.
func measured(work func() error) (timed, error) {
	began, before := time.Now(), cpuTime()
	err := work()
	return timed{cpu: cpuTime() - before, wall: time.Since(began)}, err
}

func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// print prints the table, and is an error when a bound is not held; a smoke run is too small for that.
func (b *regenerate) print(title string, rows []row) error {
	var out strings.Builder
	fmt.Fprintf(&out, "%s, medians of %d\n\n| | CPU | wall | unit | bound | |\n|---|---|---|---|---|---|\n", title, len(rows[0].cpu))
	var over []string
	for _, r := range rows {
		bound := ""
		if r.most > 0 {
			bound = fmt.Sprint(r.most)
			if m := spreadOf(r.cpu).median; m > r.most && !b.Smoke {
				over = append(over, fmt.Sprintf("%s: %.4f of %g", r.what, m, r.most))
			}
		}
		fmt.Fprintf(&out, "| %s | %.4f | %.4f | %s | %s | %s |\n", r.what, spreadOf(r.cpu).median, spreadOf(r.wall).median, r.unit, bound, r.note)
	}
	if _, err := io.WriteString(os.Stdout, out.String()); err != nil {
		return err
	}
	if over != nil {
		return fmt.Errorf("over the bound: %s", strings.Join(over, "; "))
	}
	return nil
}
