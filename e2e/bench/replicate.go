package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dicomesh/dicomesh/e2e/shareddata"
)

// replicate measures two agents in two network namespaces against what a user would pick instead, and against what quic-go alone carries. Trees, links, rivals and
// the watching are the harness's, which lies in the shared folder; dicomesh as a contender is in replicate.py. Needs root, Python 3.11, iproute2, rsync.
//
// Seconds say little on a machine that others use; ratios within one run, CPU and bytes say more.
type replicate struct {
	Only   []string `help:"Parts: lan, disk, wan, large, fresh, equal, loss. All if none is given."`
	Runs   int      `default:"3" help:"How often each contender has its turn; medians are printed."`
	Smoke  bool     `help:"A hundred files, one run, against quicraw alone: that it runs, not how fast."`
	Dir    string   `placeholder:"DIR" help:"Where trees lie (/dev/shm, or the folder for temporary files if there is none); the image of part disk too."`
	Binary string   `placeholder:"FILE" help:"The dicomesh to measure; built from this checkout if not given."`
	Keep   string   `placeholder:"FILE" help:"Append what the harness says to this file."`

	harness, folder, binary string
}

//go:embed replicate.py
var contenderClass []byte

// part is one scenario of the harness with its contenders and its bounds.
type part struct {
	name, title string
	scenario    string
	contenders  []string
	options     []string
	bounds      []bound
	disk        bool // on an ext4 of its own, where durable costs what it costs
}

// bound is what a part's rows are held to. A ratio is of medians; of is nil for a plain value.
type bound struct {
	what        string
	of          func(r rows) float64
	least, most float64 // 0: none
}

// rows are what the harness said in one part, by contender.
type rows map[string][]map[string]any

// Run measures and prints.
func (b *replicate) Run(ctx context.Context) error {
	parts := allParts()
	if b.Smoke {
		parts, b.Runs = smokeParts(), 1
	}
	var missed []string
	err := b.each(ctx, parts, func(p part, r rows) { missed = append(missed, p.print(os.Stdout, r)...) })
	if err == nil && len(missed) > 0 && !b.Smoke {
		return fmt.Errorf("bounds are missed: %s", strings.Join(missed, "; "))
	}
	return err
}

// each measures part after part, of those that were asked for, and tells what each came to.
func (b *replicate) each(ctx context.Context, parts []part, tell func(part, rows)) (err error) {
	if b.Dir == "" {
		b.Dir = memoryFolder()
	}
	var found bool
	if b.harness, found = shareddata.Find("bench"); !found {
		return errors.New("the replication harness is not there: put the shared folder beside the checkout, or name it in DICOMESH_SHARED")
	}
	if b.folder, err = os.MkdirTemp(b.Dir, "dicomesh-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.folder)) }()
	if err := b.build(ctx); err != nil {
		return err
	}
	for _, p := range parts {
		if len(b.Only) > 0 && !slices.Contains(b.Only, p.name) {
			continue
		}
		r, err := b.measure(ctx, p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		tell(p, r)
	}
	return nil
}

// memoryFolder is a folder in memory, so that nobody's disk is measured.
func memoryFolder() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
}

// build makes the programs that run.
func (b *replicate) build(ctx context.Context) (err error) {
	bin := filepath.Join(b.folder, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"linkemu", "quicraw"} {
		if err := command(ctx, "go", "build", "-C", filepath.Join(b.harness, name), "-o", bin+"/", "."); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(b.folder, "replicate.py"), contenderClass, 0o600); err != nil {
		return err
	}
	b.binary, err = (&ingest{Binary: b.Binary}).binary(ctx, bin)
	return err
}

// measure has the harness run a part.
func (b *replicate) measure(ctx context.Context, p part) (r rows, err error) {
	if !p.disk {
		return b.harnessRun(ctx, p, p.contenders, filepath.Join(b.folder, "work"), b.Runs)
	}
	// A file system that has just lost the files of the run before is slow to make others: each run has its own.
	r = rows{}
	for range b.Runs {
		for _, c := range p.contenders {
			d, err := newDisk(ctx, b.Dir, imageBytes)
			if err != nil {
				return nil, err
			}
			one, err := b.harnessRun(ctx, p, []string{c}, d.Mount, 1)
			if err = errors.Join(err, d.Close()); err != nil {
				return nil, err
			}
			r[c] = append(r[c], one[c]...)
		}
	}
	return r, nil
}

func (b *replicate) harnessRun(ctx context.Context, p part, contenders []string, work string, runs int) (rows, error) {
	args := append([]string{filepath.Join(b.folder, "replicate.py"), b.harness, p.scenario}, contenders...)
	args = append(args, "--dicomesh", b.binary, "--bin", filepath.Join(b.folder, "bin"), "--work", work, "--runs", strconv.Itoa(runs), "--cc", congestion())
	cmd := exec.CommandContext(ctx, "python3", append(args, p.options...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it has namespaces to take down
	cmd.Stderr = os.Stderr
	said, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("the harness: %w", err)
	}
	if b.Keep != "" {
		if err := appendTo(b.Keep, said); err != nil {
			return nil, err
		}
	}
	return readRows(bytes.NewReader(said))
}

// congestion is what the rivals' TCP does: cubic, as most kernels do, where this kernel lets a namespace choose it.
func congestion() string {
	allowed, err := os.ReadFile("/proc/sys/net/ipv4/tcp_allowed_congestion_control")
	names := strings.Fields(string(allowed))
	if err != nil || len(names) == 0 || slices.Contains(names, "cubic") {
		return "cubic"
	}
	fmt.Fprintln(os.Stderr, "rivals are not measured over cubic, which needs: sysctl -w net.ipv4.tcp_allowed_congestion_control='reno cubic'")
	return names[0]
}

func appendTo(name string, said []byte) error {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(said)
	return errors.Join(err, f.Close())
}

// readRows reads the harness's lines. A run that was cut, or came to something else than was sent, is an error.
func readRows(from io.Reader) (rows, error) {
	r := rows{}
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var row map[string]any
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return nil, fmt.Errorf("the harness says %q: %w", lines.Text(), err)
		}
		name, _ := row["contender"].(string)
		if ok, said := row["ok"].(string); said && ok != "complete" {
			return nil, fmt.Errorf("%s: %s", name, ok)
		}
		if n, said := row["differ"].(float64); said && n != 0 {
			return nil, fmt.Errorf("%s: %v files differ", name, n)
		}
		r[name] = append(r[name], row)
	}
	return r, lines.Err()
}
