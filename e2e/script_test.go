package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain builds the binary that the scripts and the README's commands run, once. Its files lie on the disk that DICOMESH_TEST_DISK names, where e2e/test has
// moved those of other packages' tests into memory. A test may have it run a site instead: see runBare and runLying.
func TestMain(m *testing.M) {
	if dir := os.Getenv(bareSite); dir != "" {
		os.Exit(runBare(dir))
	}
	if dir := os.Getenv(lyingSite); dir != "" {
		os.Exit(runLying(dir))
	}
	if disk := os.Getenv("DICOMESH_TEST_DISK"); disk != "" {
		if err := os.Setenv("TMPDIR", disk); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
	}
	flag.Parse()
	if n, err := strconv.Atoi(flag.Lookup("test.parallel").Value.String()); err == nil && n < atOnce {
		if err := flag.Set("test.parallel", strconv.Itoa(atOnce)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
	}
	os.Exit(withBinary(m))
}

// atOnce is how many tests run at a time at least: most of the time they wait for sites that wait themselves.
const atOnce = 6

// binDir is where TestMain puts the binary: the folder that scripts have first in their PATH.
func binDir() string { return filepath.Join(os.TempDir(), fmt.Sprintf("dicomesh-e2e-%d", os.Getpid())) }

func withBinary(m *testing.M) int {
	if err := os.MkdirAll(binDir(), 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	defer func() { _ = os.RemoveAll(binDir()) }()
	build := exec.Command("go", "build", "-o", binDir()+string(filepath.Separator), module+"/cmd/dicomesh")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build dicomesh:", err)
		return 2
	}
	return m.Run()
}

// path is PATH with the binary first.
func path() string { return binDir() + string(filepath.ListSeparator) + os.Getenv("PATH") }

// TestScripts runs testdata/script/*.txt, each in a folder of its own. What they can do beyond testscript's own commands:
//
//	sha256 FILE...        prints the SHA-256 of each file, so that a script can compare
//	du FILE|DIR           prints the bytes of all files below it
//	flip FILE OFFSET      changes one bit of a file; a negative OFFSET counts from the end
//
// and they run all of the machine's commands with exec.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", path())
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"sha256": sha256Of, "du": du, "flip": flip},
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return runtime.GOOS == "linux" && os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
	})
}
