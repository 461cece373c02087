package e2e

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dialled is a connection to the server that has sent something.
func (s *badSite) dialled(request string) net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() }) // it may be closed by then
	if _, err := io.WriteString(c, request); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// open is how many files and connections the server has open.
func (s *badSite) open() int {
	s.t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	return len(files)
}

// peak is the most memory that the server ever had, in MB.
func (s *badSite) peak() int {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		s.t.Fatal(err)
	}
	return kb >> 10
}

// large asks for 64 times the same frame of 512 kB, which no buffer of the system holds.
func (s *badSite) large() string {
	return getting(s.instance + "/frames/" + strings.Repeat("1,", 63) + "1")
}

// largeSize is how many bytes of frames such an answer has.
const largeSize = 64 * 512 * 512 * 2

// TestSlowClients has clients who send their headers, their instances and the end of their patience byte by byte, and clients who read nothing: each is let go, and meanwhile all others are served. One who is slow but
// alive gets all of a large answer.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	s := newBadSite(t, "512")
	before := s.open()
	var slow []net.Conn
	for range 4 {
		slow = append(slow, s.dialled("GET /dicomweb/studies HTTP/1.1\r\nHost: localhost\r\nX: "),
			s.dialled("POST /dicomweb/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/dicom\r\nContent-Length: 1000000\r\n\r\n"), s.dialled(s.large()))
	}
	living := s.dialled(s.large())
	stop, dripped := make(chan struct{}), make(chan struct{})
	go func() { // a byte a second, to each of them
		defer close(dripped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Second):
			}
			for n, c := range slow {
				if n%3 != 2 {
					_, _ = c.Write([]byte("x")) // it is closed some time
				}
			}
		}
	}()
	defer func() {
		close(stop)
		<-dripped
	}()
	got, err := slowly(living, 11*time.Second)
	if err != nil || got < largeSize {
		t.Errorf("a slow client that lives has got %d bytes of %d: %v", got, largeSize, err)
	}
	for end := time.Now().Add(3 * time.Minute); s.open() > before && time.Now().Before(end); <-time.After(time.Second) {
		s.serves()
	}
	if after := s.open(); after > before {
		t.Errorf("%d files and connections are open, there were %d", after, before)
	}
	if code, answer := raw(t, s.address, posting("application/dicom", "x")); code != http.StatusConflict {
		t.Errorf("another client posts meanwhile: %d: %.200q", code, answer)
	}
	if mb := s.peak(); mb > 400 {
		t.Errorf("the server has taken %d MB", mb)
	}
	s.stop()
}

// slowly reads a whole answer in a few steps, each of which takes long, and returns the length of its body.
func slowly(c net.Conn, pause time.Duration) (int64, error) {
	in := bufio.NewReaderSize(c, 4096)
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		return 0, err
	}
	all := int64(0)
	for range 2 {
		<-time.After(pause)
		n, err := io.CopyN(io.Discard, answer.Body, largeSize/3)
		if all += n; err != nil {
			return all, err
		}
	}
	n, err := io.Copy(io.Discard, answer.Body)
	return all + n, err
}

// TestGoneClients has clients go away in the middle of what they store and of what they read: nothing half is stored, what they left open is closed, and memory stays what it is.
func TestGoneClients(t *testing.T) {
	t.Parallel()
	s := newBadSite(t, "512")
	files := dicomFiles(t, sampled(t, "--studies", "2", "--series", "1", "--instances", "4", "--size", "512"))
	var body bytes.Buffer
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&body, "--a\r\nContent-Type: application/dicom\r\n\r\n%s\r\n", text)
	}
	body.WriteString("--a--\r\n")
	whole := posting(`multipart/related; type="application/dicom"; boundary=a`, body.String())
	before := s.open()
	for n := range 24 {
		post := s.dialled(whole[:len(whole)*(n+1)/26])
		read := s.dialled([]string{s.large(), getting(s.study + "/rendered"), getting(s.study, `Accept: multipart/related; type="application/dicom"`)}[n%3])
		if _, err := io.CopyN(io.Discard, read, int64(n)*100); err != nil {
			t.Error(err)
		}
		for _, c := range []net.Conn{post, read} {
			if n%2 == 0 {
				_ = c.(*net.TCPConn).SetLinger(0) // a reset, and no end
			}
			_ = c.Close()
		}
	}
	eventually(t, 2*time.Minute, "what was open for those who have gone is closed", func() bool { return s.open() <= before })
	s.serves()
	if mb := s.peak(); mb > 400 {
		t.Errorf("the server has taken %d MB", mb)
	}
	if n := len(export(t, s.tree)); n != 4 {
		t.Errorf("the archive gives back %d files, there were 4: nothing was acknowledged", n)
	}
	if left, err := os.ReadDir(filepath.Join(s.tree, ".dicomesh", "receiving")); len(left) > 0 {
		t.Errorf("%d files are left of what was received: %v", len(left), err)
	}
	s.stop()
	sound(t, s.tree)
}

// sound holds that an archive is.
func sound(t *testing.T, tree string) {
	t.Helper()
	if out, code := dicomesh(t, "verify", "--tree", tree, "--deep"); code != 0 {
		t.Errorf("the archive is not sound: %d: %.1000s", code, out)
	}
}

// TestPostedToFullDisk posts to an archive on a small disk until it is full. What was answered as stored is there, byte for byte; what did not fit is answered with 507, or as out of resources beside what did; and when there
// is room again it goes on.
func TestPostedToFullDisk(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=16m"); err != nil {
		t.Skip("a small disk cannot be mounted here: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	s := &badSite{tree: filepath.Join(disk, "tree"), current: filepath.Join(t.TempDir(), "current")}
	fat := filepath.Join(disk, "somebody")
	for _, err := range []error{os.Mkdir(s.tree, 0o755), os.Mkdir(s.current, 0o755), os.WriteFile(fat, make([]byte, 8<<20), 0o644)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s.server = startServer(t, "--current", s.current, "--tree", s.tree)
	files := dicomFiles(t, sampled(t, "--studies", "1", "--series", "1", "--instances", "40", "--size", "512")) // 20 MB, some of which is the same
	sent, codes := map[string]bool{}, map[int]int{}
	for _, f := range files {
		if s.stores(f, codes) {
			sent[fmt.Sprintf("%x", sum256(t, f))] = true
		}
	}
	if codes[http.StatusOK] == 0 || codes[http.StatusInsufficientStorage] == 0 || codes[http.StatusOK]+codes[http.StatusInsufficientStorage] != len(files) {
		t.Errorf("met %v", codes)
	}
	gives(t, s.tree, sent)
	sound(t, s.tree)
	if err := os.Remove(fat); err != nil {
		t.Fatal(err)
	}
	last := files[len(files)-1]
	if !s.stores(last, codes) {
		t.Errorf("with room again: %v", codes)
	}
	sent[fmt.Sprintf("%x", sum256(t, last))] = true
	s.stop()
	gives(t, s.tree, sent)
}

// stores posts a file, and reports whether it is answered as stored; what is not is 507.
func (s *badSite) stores(file string, codes map[int]int) bool {
	s.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := http.Post(s.url, "application/dicom", bytes.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	said, err := io.ReadAll(r.Body)
	if err = errors.Join(err, r.Body.Close()); err != nil {
		s.t.Fatal(err)
	}
	codes[r.StatusCode]++
	if stored := bytes.Contains(said, []byte(`"00081199"`)); stored != (r.StatusCode == http.StatusOK) {
		s.t.Errorf("%s: %.300s", r.Status, said)
	}
	return r.StatusCode == http.StatusOK
}

// TestPostedBelowFloor posts to a site whose disk has less room than its configuration wants: 507, and nothing is stored; what is published is served all the same.
func TestPostedBelowFloor(t *testing.T) {
	t.Parallel()
	s := newSite(t, quick)
	s.start()
	s.drop(sampled(t, "--studies", "1", "--series", "1", "--instances", "2"))
	s.settled()
	s.stop()
	s.configure(strings.Replace(quick, "watermark: 0, watermark_percent: 0, floor: 0", "watermark: 1000 TB, floor: 1000 TB", 1))
	s.start()
	s.until("the disk is full", func(st siteStatus) bool { return st.Disk.State == "full" })
	other := dicomFiles(t, sampled(t, "--studies", "2", "--series", "1", "--instances", "1"))
	text, err := os.ReadFile(other[len(other)-1])
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.Post(s.dicomweb()+"/studies", "application/dicom", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Body.Close(); err != nil || r.StatusCode != http.StatusInsufficientStorage {
		t.Errorf("%s, %v", r.Status, err)
	}
	if n := len(s.objects("/studies")); n != 1 {
		t.Errorf("%d studies are served", n)
	}
	given := export(t, s.in("tree"))
	if len(given) != 2 || given[fmt.Sprintf("%x", sha256.Sum256(text))] {
		t.Errorf("%d files are given back", len(given))
	}
	s.stop()
}
