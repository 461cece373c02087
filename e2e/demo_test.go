package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestDemoInterrupted: wherever somebody has seen enough of the demo, nothing of it is left, no process and no file.
func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		at     string
		signal os.Signal
	}{
		{"Three sites", os.Interrupt},
		{"is received at the standby", syscall.SIGTERM},
		{"noticed at all sites", os.Interrupt},
		{"Press Enter to go on: the hospital is cut off", os.Interrupt},
	} {
		t.Run(c.at, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			cmd := exec.CommandContext(t.Context(), filepath.Join(binDir(), "dicomesh"), "demo")
			if strings.Contains(c.at, "Enter") { // somebody who presses it once, and has then seen enough
				cmd.Args = append(cmd.Args, "--step")
				enter, err := cmd.StdinPipe()
				if err != nil {
					t.Fatal(err)
				}
				defer enter.Close()
				if _, err := enter.Write([]byte("\n")); err != nil {
					t.Fatal(err)
				}
			}
			cmd.Env = append(os.Environ(), "TMPDIR="+folder, "HOME="+filepath.Join(folder, "nowhere"))
			var complaints strings.Builder
			cmd.Stderr = &complaints
			out, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			seen, sent := "", false
			for lines := bufio.NewScanner(out); lines.Scan(); {
				seen += lines.Text() + "\n"
				if !sent && strings.Contains(lines.Text(), c.at) {
					sent = true
					if err := cmd.Process.Signal(c.signal); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := cmd.Wait(); !sent || cmd.ProcessState.ExitCode() != 1 {
				t.Fatalf("interrupted: %v, ends with %v after\n%s\n%s", sent, err, seen, complaints.String())
			}
			if strings.Contains(c.at, "Enter") && strings.Contains(seen, "The hospital is cut off\n") {
				t.Errorf("it did not wait:\n%s", seen)
			}
			if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
			if pids := mentioning(t, folder); len(pids) != 0 {
				t.Errorf("still running: %v", pids)
			}
		})
	}
}

// mentioning are the processes with such a word on their command lines.
func mentioning(t *testing.T, word string) (pids []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(all) == 0 {
		t.Fatalf("%d processes: %v", len(all), err)
	}
	for _, name := range all {
		if text, err := os.ReadFile(name); err == nil && strings.Contains(string(text), word) {
			pids = append(pids, filepath.Base(filepath.Dir(name)))
		}
	}
	return pids
}
