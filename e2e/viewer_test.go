package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// chromium is where Debian's browser is.
const chromium = "/usr/bin/chromium"

// TestViewer walks through a viewer in a real browser: dicomweb-client lists the studies of a site and reads metadata, cornerstone's image loader fetches the frames, a hundred slices
// and a cine loop are turned through with the wheel, and each picture on the screen is the one that pydicom makes of the file that was sent. The page is of another origin than the site,
// as those of hospitals are. SCREENSHOT=/tmp/seen keeps what was seen.
func TestViewer(t *testing.T) {
	t.Parallel()
	modules := nodeModules(t, "cornerstone-core", "cornerstone-wado-image-loader", "dicom-parser", "dicomweb-client", "playwright-core")
	if !isFile(chromium) {
		missing(t, "chromium")
	}
	slices, loops := sampled(t, "--studies", "1", "--series", "1", "--instances", "100", "--size", "128"), sampled(t, "--studies", "3", "--series", "1", "--instances", "1")
	loop := filepath.Join(loops, "study03-US")
	address := freeAddress(t)
	s := newSite(t, quick+"http: {origins: ['http://"+address+"']}\n")
	s.start()
	s.drop(slices, loop)
	s.settled()
	seen := filepath.Join(t.TempDir(), "seen")
	frames := 0
	for _, row := range s.objects("/instances?Modality=US&includefield=NumberOfFrames") {
		n, err := strconv.Atoi(row.text("00280008"))
		if err != nil {
			t.Fatal(err)
		}
		frames += n
	}
	c := exec.Command("node", filepath.Join("testdata", "viewer", "walk.js"), modules, chromium, address[strings.LastIndex(address, ":")+1:], s.dicomweb(), seen, "CT=100", fmt.Sprint("US=", frames))
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("walk.js: %v: %s", err, out)
	}
	t.Log(strings.TrimSpace(python(t, "../viewer/compare.py", append([]string{seen}, dicomFiles(t, slices, loop)...)...)))
	s.stop()
}

// nodeModules is the folder in which e2e/test installs packages of npm. Where npm cannot be had, or could not install them, the test is skipped.
func nodeModules(t *testing.T, packages ...string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "dicomesh-e2e")
	for _, p := range packages {
		if isFile(filepath.Join(dir, "node_modules", p, "package.json")) {
			continue
		}
		if _, err := exec.LookPath("npm"); err != nil || isFile(filepath.Join(dir, "unavailable")) {
			t.Skip(p + " is not there, and npm does not give it here")
		}
		missing(t, p)
	}
	return dir
}

// missing ends a test that needs something which e2e/test installs: with CI=true it fails.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not there, and CI=true: e2e/test installs it", what)
	}
	t.Skipf("%s is not there: e2e/test installs it", what)
}
