package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// contender is one way of doing it: a program that brings the files of source to target, which is not there yet, durably.
type contender struct {
	name    string
	program func(source, target string) []string
}

// sample is one run.
type sample struct {
	wall, cpu time.Duration // cpu of the program and all that it started
	peak      int64         // bytes resident
	stored    usage
}

// pairs runs two contenders by turns, changing who is first, and returns their samples. Between runs the target is removed and the
// file system synced, so that nobody pays for what another left dirty.
func pairs(ctx context.Context, count int, folder, source string, both [2]contender) ([2][]sample, error) {
	var samples [2][]sample
	for n := range 2 * count {
		who := (n + n/2) % 2 // 0 1, 1 0, 0 1 ...
		target := filepath.Join(folder, "target")
		s, err := measure(ctx, both[who], source, target)
		if err != nil {
			return samples, err
		}
		samples[who] = append(samples[who], s)
		fmt.Fprintf(os.Stderr, "%-16s %8.3f s\n", both[who].name, s.wall.Seconds())
		if err := os.RemoveAll(target); err != nil {
			return samples, err
		}
		if err := command(ctx, "sync", "-f", folder); err != nil {
			return samples, err
		}
	}
	return samples, nil
}

// measure runs one contender once.
func measure(ctx context.Context, c contender, source, target string) (sample, error) {
	argv := c.program(source, target)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that what it started ends with it, and the disk can be unmounted
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	began := time.Now()
	err := cmd.Run()
	s := sample{wall: time.Since(began)}
	if err != nil {
		return s, fmt.Errorf("%s: %w: %s", c.name, err, bytes.TrimSpace(said.Bytes()))
	}
	s.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if r, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		s.peak = r.Maxrss << 10
	}
	s.stored, err = measureFolder(target)
	return s, err
}
