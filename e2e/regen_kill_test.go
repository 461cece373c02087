package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"image/jpeg"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/dicomesh/dicomesh/regen"
	"github.com/dicomesh/dicomesh/regen/web"
)

// currentReader reads one study of a current tree as a client would, over and over, while it is changed.
type currentReader struct {
	root, study string
	uid         dedup.UID
	order       [][]byte       // the files of its instances as they come
	place       map[string]int // of an instance in that order, from 1
	frames      map[string][32]byte
	web         http.Handler
	reads, held int
	wrong       []string
}

func (r *currentReader) fail(format string, args ...any) {
	if len(r.wrong) < 20 {
		r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
	}
}

// file is a file of the study, which has to be there and whole.
func (r *currentReader) file(name string) []byte {
	b, err := os.ReadFile(filepath.Join(r.root, "studies", r.study, name))
	if err == nil && strings.HasSuffix(name, ".gz") {
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(b)); err == nil {
			b, err = io.ReadAll(z)
		}
	}
	if err != nil {
		r.fail("%s: %v", name, err)
		return nil
	}
	return b
}

func (r *currentReader) rows(name string) (rows []map[string]struct {
	BulkDataURI string
	Value       []any
}) {
	if b := r.file(name); b != nil {
		if err := json.Unmarshal(b, &rows); err != nil {
			r.fail("%s: %v", name, err)
		}
	}
	return rows
}

// files follows every name from the study's own files on: whatever one index says, what it names is there, and whole.
func (r *currentReader) files() {
	var status regen.Status
	if err := json.Unmarshal(r.file("status.gz"), &status); err != nil || status.Instances < 1 || len(status.Leaves) != 64 {
		r.fail("status: %v, %d instances, leaves %.16s", err, status.Instances, status.Leaves)
	}
	r.rows("studies.gz")
	r.rows("deduplicated.gz")
	for _, series := range r.rows("series.gz") {
		dir := fmt.Sprint("series/", series["0020000E"].Value[0])
		if _, err := jpeg.DecodeConfig(bytes.NewReader(r.file(dir + "/thumbnail"))); err != nil {
			r.fail("%s/thumbnail: %v", dir, err)
		}
		r.rows(dir + "/metadata.gz")
		for _, i := range r.rows(dir + "/instances.gz") {
			sop := fmt.Sprint(i["00080018"].Value[0])
			at := dir + "/instances/" + sop
			if sum := sha256.Sum256(r.file(at + "/frames/1")); sum != r.frames[sop] {
				r.fail("%s: another frame", at)
			}
			if _, err := jpeg.DecodeConfig(bytes.NewReader(r.file(at + "/thumbnail"))); err != nil {
				r.fail("%s/thumbnail: %v", at, err)
			}
			for tag, a := range i {
				if ref := strings.TrimPrefix(a.BulkDataURI, "../../"); ref != "" && r.file(ref) == nil {
					r.fail("%s: %s leads nowhere", at, tag)
				}
			}
		}
	}
}

// answer asks for what is joined of all series: it has the instances of one moment, or is asked for too early.
func (r *currentReader) answer() {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "/studies/"+r.study+"/metadata", nil)
	if err != nil {
		panic(err)
	}
	w := httptest.NewRecorder()
	r.web.ServeHTTP(w, request)
	if w.Code == http.StatusServiceUnavailable {
		r.held++
		return
	}
	var rows []map[string]struct{ Value []any }
	if err := json.Unmarshal(w.Body.Bytes(), &rows); err != nil || w.Code != http.StatusOK {
		r.fail("metadata of the study: %d, %v", w.Code, err)
		return
	}
	last := 0
	for _, o := range rows {
		last = max(last, r.place[fmt.Sprint(o["00080018"].Value[0])])
	}
	if last != len(rows) { // they came one after the other
		r.fail("metadata of the study has %d instances, the last is number %d", len(rows), last)
	}
}

// TestReadWhileRegenerating polls studies that grow by an instance at a time while they are regenerated two hundred times, twenty times by a process that is killed with SIGKILL on its
// way. At every read each file is whole, each name in an index leads to what it names, and an answer joined of several files is of one generation.
func TestReadWhileRegenerating(t *testing.T) {
	t.Parallel()
	root := inMemory(t)
	s := newGrowing(t, root)
	for range s.readers {
		s.regenerate(t, s.grow(t))
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { s.read(stop); close(stopped) }()
	killed, changing := 0, 0
	for n := range 200 {
		r := s.grow(t)
		if n%10 != 5 {
			s.regenerate(t, r)
			continue
		}
		for died, tries := 0, 0; died == 0 && tries < 10; tries++ { // one that ended before was a regeneration like others
			var midway int
			died, midway = killRegen(t, filepath.Join(root, "tree"), r, n/10)
			killed, changing = killed+died, changing+midway
			if died == 0 {
				r = s.grow(t)
			}
		}
	}
	close(stop)
	<-stopped
	reads, held := 0, 0
	for _, r := range s.readers {
		reads, held = reads+r.reads, held+r.held
		for _, wrong := range r.wrong {
			t.Error(wrong)
		}
	}
	t.Logf("%d reads, %d answers put off; %d processes killed, %d of them while names changed; %d instances", reads, held, killed, changing, s.grown)
	if killed < 15 || changing < 5 || reads < 100 || s.grown < 200 {
		t.Errorf("too little happened: %d killed, %d while names changed, %d reads, %d instances", killed, changing, reads, s.grown)
	}
}

// growing are studies of which the instances come one by one.
type growing struct {
	readers []*currentReader
	archive *ingest.Archive
	regen   *regen.Generator
	grown   int
}

// newGrowing makes an archive, root/tree, with nothing in it, and a current tree, root/current.
func newGrowing(t *testing.T, root string) *growing {
	t.Helper()
	open := func(name string) *durable.OS {
		if err := os.Mkdir(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
		fsys, err := durable.OpenOS(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return fsys
	}
	tree, current := open("tree"), open("current")
	in, err := ingest.Open(tree)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(in.Close(), tree.Close(), current.Close()); err != nil {
			t.Error(err)
		}
	})
	share := func(from, to string) error { return durable.Share(tree, from, current, to) }
	s := &growing{archive: in, regen: regen.New(regen.Config{Archive: tree, Current: current, Share: share})}
	for number := 1; number <= 16; number += 3 { // CTs, of which the pixels are the end of each file
		s.readers = append(s.readers, newCurrentReader(t, phantom.Study{Number: number, Series: 5, Instances: 12, Size: 16}, filepath.Join(root, "current"), web.New(web.Config{Current: current})))
	}
	return s
}

// newCurrentReader knows a study.
func newCurrentReader(t *testing.T, study phantom.Study, root string, handler http.Handler) *currentReader {
	t.Helper()
	r := &currentReader{root: root, study: study.UID(), web: handler, place: map[string]int{}, frames: map[string][32]byte{}}
	var err error
	if r.uid, err = dedup.ParseUID(r.study); err != nil {
		t.Fatal(err)
	}
	for i := range study.All() {
		var b bytes.Buffer
		if err := i.Write(&b); err != nil {
			t.Fatal(err)
		}
		r.frames[i.SOPInstanceUID()] = sha256.Sum256(b.Bytes()[b.Len()-2*study.Size*study.Size:])
		r.order = append(r.order, b.Bytes())
		r.place[i.SOPInstanceUID()] = len(r.order)
	}
	return r
}

// grow adds the next instance to one study after the other, and says to which.
func (s *growing) grow(t *testing.T) *currentReader {
	t.Helper()
	r := s.readers[s.grown%len(s.readers)]
	next := r.order[s.grown/len(s.readers)]
	s.grown++
	batch, err := s.archive.OpenBatch()
	if err != nil {
		t.Fatal(err)
	}
	batch.Add("", bytes.NewReader(next), int64(len(next)))
	for _, res := range batch.Commit() {
		if res.Err != nil {
			t.Fatal(res.Err)
		}
	}
	return r
}

func (s *growing) regenerate(t *testing.T, r *currentReader) {
	t.Helper()
	if _, err := s.regen.Study(t.Context(), r.uid, time.Now()); err != nil {
		t.Fatal(err)
	}
}

// read reads one study after the other until it is told to stop. What is wrong is with the readers when it has returned.
func (s *growing) read(stop <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		r := s.readers[n%len(s.readers)]
		r.files()
		r.answer()
		r.reads++
	}
}

// inMemory is a folder for files whose syncs cost nothing, where the machine has one: what a killed process has written is not lost, so there is nothing to wait for.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "dicomesh-e2e-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// killRegen starts a regeneration and kills it when some files are staged, or, every second time, when it has begun to change names: then its record is gone.
func killRegen(t *testing.T, tree string, r *currentReader, n int) (died, midway int) {
	t.Helper()
	record := filepath.Join(r.root, ".dicomesh", "studies", r.study+".gz")
	cmd := exec.Command(filepath.Join(binDir(), "dicomesh"), "regen", "--tree", tree, "--current", r.root, "--study", r.study)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for waiting := true; waiting; runtime.Gosched() {
		select {
		case <-ended:
			return 0, 0
		default:
		}
		if n%2 == 0 {
			_, err := os.Lstat(record)
			waiting = err == nil
		} else {
			waiting = count(filepath.Join(r.root, ".dicomesh", "regen", "[0-9][0-9]")) <= n/4
		}
	}
	_ = cmd.Process.Kill() // it may have ended
	<-ended
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
		return 0, 0
	}
	if _, err := os.Lstat(record); err != nil {
		midway = 1
	}
	return 1, midway
}
