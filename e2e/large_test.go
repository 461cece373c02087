package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup/phantom"
)

// maxResident is what ingest and export may have in memory, whatever the size of a file.
const maxResident = 200 << 20

// TestThreeGigabytes takes one multi-frame file of 3 GB in and out again.
func TestThreeGigabytes(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("3 GB go in and out: left out with -short")
	}
	base := t.TempDir()
	if roomInMemory(8 << 30) {
		base = inMemory(t)
	}
	source, tree, out := filepath.Join(base, "source"), filepath.Join(base, "tree"), filepath.Join(base, "out")
	if _, code := dicomesh(t, "sample", "--out", source, "--studies", "1", "--series", "1", "--instances", "1", "--size", "512", "--frames", "6000"); code != 0 {
		t.Fatal("sample failed")
	}
	want, size := largeSum(t, source)
	if size < 3e9 {
		t.Fatalf("the file has %d bytes", size)
	}
	if kB := resident(t, "ingest", "--tree", tree, source); kB<<10 > maxResident {
		t.Errorf("ingest had %d MB in memory", kB>>10)
	}
	if err := os.RemoveAll(source); err != nil { // room for the others
		t.Fatal(err)
	}
	if kB := resident(t, "export", "--tree", tree, "--out", out); kB<<10 > maxResident {
		t.Errorf("export had %d MB in memory", kB>>10)
	}
	if got, _ := largeSum(t, out); got != want {
		t.Error("the file did not come back as it was")
	}
}

// TestHalfAMillionFrames takes an instance of which each byte is a frame: it is small, and yet much has to be known of it at a time. The limit is what that is, twice: what is garbage may be as
// much as what is not, and no more.
func TestHalfAMillionFrames(t *testing.T) {
	t.Parallel()
	const frames = 500_000
	base := t.TempDir()
	pixels := make([]byte, frames)
	for n := range pixels {
		pixels[n] = byte(n * 7)
	}
	file := phantom.File{Elements: []phantom.Element{
		phantom.Text(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.7"),
		phantom.Text(0x00080018, "UI", phantom.UID("half", "a", "million")),
		phantom.Text(0x00080060, "CS", "OT"),
		phantom.Text(0x0020000D, "UI", phantom.UID("half")),
		phantom.Text(0x0020000E, "UI", phantom.UID("half", "a")),
		phantom.Numbers[uint16](0x00280002, "US", 1),
		phantom.Text(0x00280004, "CS", "MONOCHROME2"),
		phantom.Text(0x00280008, "IS", strconv.Itoa(frames)),
		phantom.Numbers[uint16](0x00280010, "US", 1),
		phantom.Numbers[uint16](0x00280011, "US", 1),
		phantom.Numbers[uint16](0x00280100, "US", 8),
		phantom.Numbers[uint16](0x00280101, "US", 8),
		phantom.Numbers[uint16](0x00280102, "US", 7),
		phantom.Numbers[uint16](0x00280103, "US", 0),
		phantom.Raw(0x7FE00010, "OB", pixels),
	}}
	source, tree := filepath.Join(base, "half.dcm"), filepath.Join(base, "tree")
	if err := os.WriteFile(source, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	const most = 560 << 20 // seen: 430, and 670 to 770 when garbage was let grow to four times what is live
	if kB := resident(t, "ingest", "--tree", tree, source); kB<<10 > most {
		t.Errorf("ingest had %d MB in memory", kB>>10)
	}
	if _, code := dicomesh(t, "verify", "--tree", tree, "--deep"); code != 0 {
		t.Error("what was taken in is not sound")
	}
}

// roomInMemory reports whether files of so many bytes can lie in memory with as much to spare: on a disk that others use too they take minutes.
func roomInMemory(size int64) bool {
	var s syscall.Statfs_t
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil || syscall.Statfs("/dev/shm", &s) != nil || int64(s.Bavail)*s.Bsize < size {
		return false
	}
	var kB int64
	_, rest, _ := strings.Cut(string(text), "MemAvailable:")
	_, _ = fmt.Sscan(rest, &kB)
	return kB<<10 >= 2*size
}

// largeSum is the SHA-256 and the size of the one file below a folder.
func largeSum(t *testing.T, folder string) (sum string, size int64) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		h := sha256.New()
		size, err = io.Copy(h, f)
		sum = fmt.Sprintf("%x", h.Sum(nil))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum, size
}

// resident runs a command that must succeed and returns the most memory that it had, in kB.
func resident(t *testing.T, args ...string) int64 {
	t.Helper()
	cmd := exec.Command(filepath.Join(binDir(), "dicomesh"), args...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for most := int64(0); ; {
		select {
		case <-tick.C:
			most = max(most, highWater(cmd.Process.Pid))
		case err := <-done:
			if err != nil || most == 0 {
				t.Fatalf("dicomesh %s, %d kB: %v\n%s", strings.Join(args, " "), most, err, &said)
			}
			t.Logf("%s: %d MB on %d cores", args[0], most>>10, runtime.NumCPU())
			return most
		}
	}
}

// highWater is the most memory that a running process has had, in kB, or 0. What wait says of a process that has ended counts the one that started it, too:
// between fork and exec they share their memory, and this test's is large under the race detector.
func highWater(pid int) (kB int64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	_, _ = fmt.Sscan(rest, &kB)
	return kB
}
