package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/e2e/shareddata"
)

// TestAgentInbox drops studies into the inbox of a site as anybody would: real ones of several series, phantoms, and a file that is no DICOM. They settle, every file
// of the format's list is there and served, the very bytes come out of the tree, and what the agent logs and tells, at debug, names no patient.
func TestAgentInbox(t *testing.T) {
	t.Parallel()
	s := newSite(t, quick)
	s.start()
	sources := []string{sampled(t, "--studies", "3", "--series", "2", "--instances", "3")}
	if corpus, ok := shareddata.Find("data", "dicom", "study"); ok || os.Getenv("CI") == "true" {
		shareddata.Dir(t, "data", "dicom", "study")
		for _, name := range []string{"nih_ge_fmri", "highdicom_sm", "dicomdirtests", "rt_phantom", "same_uid_rewritten"} {
			sources = append(sources, filepath.Join(corpus, name))
		}
	}
	junk := filepath.Join(t.TempDir(), "DOE^JOHN.txt")
	if err := os.WriteFile(junk, []byte("not DICOM at all"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.drop(append(sources, junk)...)
	s.settled()
	for study, state := range s.studies() {
		if state != "settled" && state != "conflict" {
			t.Errorf("study %s is %s", study, state)
		}
	}
	gives(t, s.in("tree"), dicomSums(t, sources...))
	s.event("refused", "DICOM")
	if left := regular(t, s.in("inbox")); len(left) > 0 {
		t.Errorf("left in the inbox: %v", left)
	}
	if kept := sums(t, s.in("quarantine")); !kept[fmt.Sprintf("%x", sum256(t, junk))] {
		t.Error("the refused file is not in the quarantine")
	}
	names := wholeCurrent(s)
	if len(names) < 3 {
		t.Errorf("only %d patients' names are served", len(names))
	}
	silent(s, append(names, "DOE", "JOHN"))
	if out, code := dicomesh(t, "regen", "--tree", s.in("tree"), "--current", s.in("current"), "--json"); code != 0 || !strings.Contains(out, `"written":0`) {
		t.Errorf("a round by hand has something to do: %s", out)
	}
	s.stop()
}

// dicomSums are the sums of the files in folders that ingest takes.
func dicomSums(t *testing.T, folders ...string) map[string]bool {
	t.Helper()
	set := map[string]bool{}
	for _, folder := range folders {
		out, _ := dicomesh(t, "ingest", "--tree", t.TempDir(), "--json", folder)
		for line := range strings.Lines(out) {
			var i ingested
			(&agentSite{t: t}).decode(line, &i)
			if i.Status != "refused" {
				set[i.SHA256] = true
			}
		}
	}
	return set
}

// wholeCurrent looks for every file of the format's list, and asks for it. It returns the patients' names that are served.
func wholeCurrent(s *agentSite) []string {
	s.t.Helper()
	var names []string
	there := func(elem ...string) {
		if info, err := os.Lstat(s.in(append([]string{"current", "studies"}, elem...)...)); err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
			s.t.Errorf("%s is not there: %v", filepath.Join(elem...), err)
		}
	}
	for _, study := range s.objects("/studies") {
		uid := study.text("0020000D")
		for _, word := range strings.FieldsFunc(study.text("00100010"), func(r rune) bool { return r == '^' || r == ' ' || r == '=' }) {
			if len(word) > 3 {
				names = append(names, word)
			}
		}
		for _, name := range []string{"studies.gz", "series.gz", "deduplicated.gz"} {
			there(uid, name)
		}
		for _, series := range s.objects("/studies/" + uid + "/series") {
			of := []string{uid, "series", series.text("0020000E")}
			there(append(of, "metadata.gz")...)
			there(append(of, "instances.gz")...)
			pictures := 0
			for _, i := range s.objects("/studies/" + strings.Join(of, "/") + "/metadata") {
				instance := append(of, "instances", i.text("00080018"))
				if i["7FE00010"].BulkDataURI == "" {
					continue
				}
				pictures++
				there(append(instance, "thumbnail")...)
				frames, err := strconv.Atoi(i.text("00280008"))
				if err != nil {
					frames = 1
				}
				for n := range frames {
					there(append(instance, "frames", strconv.Itoa(n+1))...)
				}
				if code, _ := s.request("/dicomweb/studies/" + strings.Join(instance, "/") + "/frames/1"); code != http.StatusOK {
					s.t.Errorf("the first frame of %s: %d", instance[4], code)
				}
			}
			if pictures > 0 {
				there(append(of, "thumbnail")...)
			}
		}
	}
	return names
}

// silent holds that nothing of an agent's log, events and status has one of these words.
func silent(s *agentSite, words []string) {
	s.t.Helper()
	log, err := os.ReadFile(s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	said := map[string]string{"log": string(log), "events": s.ask("events", "--json", "-n", "10000"), "status": s.ask("status", "--json"), "studies": s.ask("studies", "--json"),
		"metrics": string(s.get("/metrics")), "page": string(s.get("/"))}
	if !strings.Contains(said["log"], "level=DEBUG") {
		s.t.Error("the log is not at debug")
	}
	for _, word := range words {
		named := regexp.MustCompile(`\b` + regexp.QuoteMeta(word) + `\b`)
		for what, text := range said {
			if named.MatchString(text) {
				s.t.Errorf("%s names a patient: %s", what, word)
			}
		}
	}
}

// TestAgentKilled kills the agent with SIGKILL at moments of taking, settling and resting, each time while more files come. In the end everything is there,
// everything is settled, and the current tree is what one made at once would be.
func TestAgentKilled(t *testing.T) {
	t.Parallel()
	s := newSite(t, quick)
	s.start()
	var folders []string
	moments := []func(siteStatus) bool{
		func(siteStatus) bool { return true },
		func(st siteStatus) bool { return st.Inbox.Stored > 0 },
		func(st siteStatus) bool { return st.Studies["syncing"] > 0 },
		func(st siteStatus) bool { return st.Studies["published"] > 0 || st.Studies["settled"] > 0 },
		func(st siteStatus) bool { return st.Studies["settled"] > 0 && st.Inbox.Waiting == 0 },
	}
	for n, moment := range moments {
		folder := sampled(t, "--studies", "2", "--instances", "10", "--frames", strconv.Itoa(n+1))
		folders = append(folders, folder)
		if err := os.Rename(folder, folder+strconv.Itoa(n)); err != nil {
			t.Fatal(err)
		}
		folders[n] += strconv.Itoa(n)
		s.drop(folders[n])
		s.until("moment "+strconv.Itoa(n), moment)
		s.kill()
		s.start()
	}
	s.settled()
	gives(t, s.in("tree"), sums(t, folders...))
	if out, code := dicomesh(t, "verify", "--tree", s.in("tree"), "--deep"); code != 0 {
		t.Errorf("verify: %s", out)
	}
	if out, code := dicomesh(t, "regen", "--tree", s.in("tree"), "--current", s.in("current"), "--json"); code != 0 || !strings.Contains(out, `"written":0`) {
		t.Errorf("a round by hand has something to do: %s", out)
	}
	if left := regular(t, s.in("inbox")); len(left) > 0 {
		t.Errorf("%d files are left in the inbox", len(left))
	}
}

// TestAgentWithoutItsCaches deletes the current tree and the index, but not the digests, of a site that is stopped: nothing is lost by that.
func TestAgentWithoutItsCaches(t *testing.T) {
	t.Parallel()
	s := newSite(t, quick)
	s.start()
	folder := sampled(t)
	s.drop(folder)
	s.settled()
	before := s.ask("studies", "--json")
	published := regular(t, s.in("current", "studies"))
	s.stop()
	if err := os.RemoveAll(s.in("current")); err != nil {
		t.Fatal(err)
	}
	gone, err := filepath.Glob(s.in("state", "index.db*"))
	if err != nil || len(gone) == 0 {
		t.Fatalf("%v, %v", gone, err)
	}
	for _, name := range gone {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	s.start()
	s.settled()
	if after := s.ask("studies", "--json"); leaves(s, after) != leaves(s, before) {
		t.Errorf("studies were\n%sand are\n%s", before, after)
	}
	again := regular(t, s.in("current", "studies"))
	for path, sum := range published {
		if again[path] != sum {
			t.Errorf("%s is not what it was", strings.TrimPrefix(path, s.dir))
		}
	}
	gives(t, s.in("tree"), sums(t, folder))
	s.event("index", "made from the tree: 3 studies")
}

// leaves are the studies of a list with their leaf digests, sorted by UID.
func leaves(s *agentSite, list string) string {
	digests := map[string]string{}
	for line := range strings.Lines(list) {
		var row struct {
			Study, State string
			Leaf         string `json:"leaf_digest"`
		}
		s.decode(line, &row)
		digests[row.Study] = row.State + " " + row.Leaf
	}
	return fmt.Sprint(digests)
}

// TestAgentLateExtract brings a study into the tree whose patient extract comes late: it is incomplete and says what is missing, nothing is made of the half of it, and it is
// published by itself when the extract is there.
func TestAgentLateExtract(t *testing.T) {
	t.Parallel()
	elsewhere := t.TempDir()
	if _, code := dicomesh(t, "ingest", "--tree", elsewhere, sampled(t, "--studies", "1", "--instances", "2")); code != 0 {
		t.Fatal("ingest failed")
	}
	s := newSite(t, quick)
	s.start()
	late := ""
	for path := range regular(t, filepath.Join(elsewhere, "studies")) {
		if strings.HasSuffix(path, ".json.gz") && strings.Contains(path, "bulkdata") && (late == "" || path < late) {
			late = path
		}
	}
	aside := filepath.Join(t.TempDir(), "late")
	if err := os.Rename(late, aside); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-r", filepath.Join(elsewhere, "studies"), s.in("tree")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.until("the study is incomplete", func(st siteStatus) bool { return st.Studies["incomplete"] == 1 })
	var uid string
	for uid = range s.studies() {
	}
	rel, err := filepath.Rel(filepath.Join(elsewhere, "studies", uid), late)
	if err != nil {
		t.Fatal(err)
	}
	if out := s.ask("study", "--json", uid); !strings.Contains(out, `"missing_count":1,"missing":["`+rel+`"]`) {
		t.Errorf("it does not say that %s is missing: %s", rel, out)
	}
	if made := regular(t, s.in("current")); len(filesOf(made, uid)) > 0 {
		t.Errorf("something was made of the half of a study: %v", filesOf(made, uid))
	}
	if code, body := s.request("/dicomweb/studies/" + uid + "/metadata"); code != http.StatusServiceUnavailable {
		t.Errorf("metadata of an incomplete study: %d %s", code, body)
	}
	if out, code := dicomesh(t, "wait", "--data", s.dir, "--settled", "--timeout", "0s"); code != 4 {
		t.Errorf("wait: exit code %d: %s", code, out)
	}
	if err := copyFile(aside, s.in("tree", "studies", uid, rel)); err != nil {
		t.Fatal(err)
	}
	s.settled()
	if code, _ := s.request("/dicomweb/studies/" + uid + "/metadata"); code != http.StatusOK {
		t.Errorf("metadata of a complete study: %d", code)
	}
}

// filesOf are those of a study's files that a reader would see.
func filesOf(files map[string]string, uid string) (found []string) {
	for path := range files {
		if strings.Contains(path, "/studies/"+uid+"/") && !strings.Contains(path, ".dicomesh") {
			found = append(found, path)
		}
	}
	return found
}

// copyFile copies a file as one that appears at once, as other programs do it with care.
func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to+".tmp", text, 0o644)
	}
	if err == nil {
		err = os.Rename(to+".tmp", to)
	}
	return err
}

// TestAgentForeignFiles puts into the tree what nobody should find there. It is said, never served, and the studies beside it settle.
func TestAgentForeignFiles(t *testing.T) {
	t.Parallel()
	s := newSite(t, quick)
	s.start()
	s.drop(sampled(t, "--studies", "2", "--instances", "2"))
	s.settled()
	var uid string
	for uid = range s.studies() {
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("a secret of this machine"), 0o644); err != nil {
		t.Fatal(err)
	}
	of := s.in("tree", "studies", uid, "deduplicated")
	for name, text := range map[string]string{
		strings.Repeat("0", 64) + ".gz": "", strings.Repeat("1", 64) + ".gz": "no gzip", "instances/1.2.3.gz": "\x1f\x8b", "tempFile-7": "torn", "note for DOE^JOHN.txt": "?",
	} {
		if err := os.WriteFile(filepath.Join(of, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{strings.Repeat("2", 64) + ".gz": secret, "instances/1.2.4.gz": "/dev/zero"} {
		if err := os.Symlink(target, filepath.Join(of, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(t.TempDir(), s.in("tree", "studies", "1.2.5")); err != nil {
		t.Fatal(err)
	}
	s.event("fault", strings.Repeat("1", 64))
	if metrics := string(s.get("/metrics")); !regexp.MustCompile(`(?m)^dicomesh_faults_total [1-9]`).MatchString(metrics) {
		t.Error("the fault is not counted, and no alert is made of it")
	}
	silent(s, []string{"DOE", "JOHN", "secret"})
	for path := range regular(t, s.in("current")) {
		if text, err := os.ReadFile(path); err != nil || strings.Contains(string(text), "secret") {
			t.Errorf("%s serves what a link named: %v", path, err)
		}
	}
	for other, state := range s.studies() {
		if other != uid && state != "settled" {
			t.Errorf("a study without such files is %s", state)
		}
	}
	if code, _ := s.request("/dicomweb/studies/" + uid + "/metadata"); code != http.StatusOK {
		t.Errorf("what was published of the study is not served: %d", code)
	}
}

// TestAgentFullDisk gives a site a small disk that somebody else fills, to below the floor or to the last byte: nothing more is taken, what is there is served, it is said,
// nothing is refused for it, and it goes on by itself when there is room.
func TestAgentFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting a small disk needs root")
	}
	for _, tt := range []struct {
		name, limits string
		fill         int64     // of 64 MiB
		says         [2]string // kinds of the events
	}{
		{"below the floor", "watermark: 24 MiB, floor: 16 MiB", 48 << 20, [2]string{"disk-full", "disk-room"}},
		{"to the last byte", "watermark: 0, watermark_percent: 0, floor: 0", 65 << 20, [2]string{"inbox", "inbox"}},
	} {
		t.Run(strings.ReplaceAll(tt.name, " ", "_"), func(t *testing.T) { fullDisk(t, tt.limits, tt.fill, tt.says) })
	}
}

func fullDisk(t *testing.T, limits string, fill int64, says [2]string) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=64m"); err != nil {
		t.Skip("a small disk cannot be mounted here: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	s := newSite(t, "settle: {quiet: 200ms}\ninbox: {quiet: 100ms}\npaths: {tree: "+disk+"/tree, current: "+disk+"/current}\ndisk: {"+limits+"}\n")
	s.start()
	first := sampled(t, "--studies", "1", "--instances", "2")
	s.drop(first)
	s.settled()
	fat := filepath.Join(disk, "somebody")
	if err := os.WriteFile(fat, make([]byte, fill), 0o644); err != nil && fill < 64<<20 {
		t.Fatal(err)
	}
	s.until("the disk is full", func(st siteStatus) bool { return st.Disk.State == "full" || says[0] != "disk-full" })
	second := sampled(t, "--studies", "2", "--instances", "2", "--series", "3")
	s.drop(second)
	s.until("the inbox says why it takes nothing", func(st siteStatus) bool { return st.Inbox.Waiting > 0 && st.Inbox.Paused != "" })
	if st := s.status(); st.Inbox.Refused > 0 || st.Studies["settled"] != 1 {
		t.Errorf("%+v", st)
	}
	if n := len(s.objects("/studies")); n != 1 {
		t.Errorf("%d studies are served while the disk is full", n)
	}
	s.event(says[0], "nothing")
	if err := os.Remove(fat); err != nil {
		t.Fatal(err)
	}
	s.settled()
	s.event(says[1], "again")
	gives(t, filepath.Join(disk, "tree"), sums(t, first, second))
	if st := s.status(); st.Inbox.Refused > 0 || st.Inbox.Paused != "" || st.Disk.State != "ok" {
		t.Errorf("%+v", st)
	}
	s.stop()
}

// TestAgentStopsInWork tells an agent to stop while it takes files: it stops well, soon, and what it has not taken is still in the inbox.
func TestAgentStopsInWork(t *testing.T) {
	t.Parallel()
	s := newSite(t, quick)
	s.start()
	folder := sampled(t, "--studies", "3", "--instances", "40")
	s.drop(folder)
	s.until("it has begun", func(st siteStatus) bool { return st.Inbox.Stored > 0 || st.Inbox.Waiting > 0 })
	began := time.Now()
	s.stop()
	if took := time.Since(began); took > 90*time.Second {
		t.Errorf("it took %v to stop", took)
	}
	s.start()
	s.settled()
	gives(t, s.in("tree"), sums(t, folder))
}

// TestAgentSoon prints how long it takes, with default settings, from the last byte in the inbox until the study is settled, beside what ingesting the same files takes.
func TestAgentSoon(t *testing.T) {
	folder := sampled(t, "--studies", "1", "--series", "2", "--instances", "50", "--size", "128")
	began := time.Now()
	if _, code := dicomesh(t, "ingest", "--tree", t.TempDir(), folder); code != 0 {
		t.Fatal("ingest failed")
	}
	alone := time.Since(began)
	s := newSite(t, "disk: {watermark: 0, watermark_percent: 0, floor: 0}\n")
	s.start()
	s.drop(folder)
	began = time.Now()
	s.settled()
	took := time.Since(began)
	t.Logf("from the last byte in the inbox to settled: %v; ingesting the same files by hand: %v; beyond that: %v", took.Round(time.Millisecond), alone.Round(time.Millisecond),
		(took - alone).Round(time.Millisecond))
	if took-alone > 2*time.Minute {
		t.Errorf("%v beyond the ingest: at most 5 s on a machine that does nothing else", took-alone)
	}
}

// TestAgentService holds what a service manager hears: that the site is ready, that it lives, and that it stops.
func TestAgentService(t *testing.T) {
	s := newSite(t, quick)
	name := filepath.Join(t.TempDir(), "notify") // deeper than a socket's name may be long on some machines
	if len(name) > 100 {
		name = "@" + filepath.Base(t.TempDir()) + strconv.Itoa(os.Getpid())
	}
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", name)
	t.Setenv("WATCHDOG_USEC", "200000")
	s.begin()
	if err := manager.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	heard := func(want string) {
		t.Helper()
		text := make([]byte, 1000)
		for {
			n, err := manager.Read(text)
			if err != nil {
				t.Fatalf("%s was never heard: %v", want, err)
			}
			if string(text[:n]) == want {
				return
			}
		}
	}
	heard("READY=1")
	heard("WATCHDOG=1")
	heard("WATCHDOG=1")
	s.stop()
	heard("STOPPING=1")
}

// TestAgentLogGone holds that an agent whose log nobody reads any more runs on.
func TestAgentLogGone(t *testing.T) {
	t.Parallel()
	s := newSite(t, quick)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s.process = exec.Command(filepath.Join(binDir(), "dicomesh"), "agent", "--data", s.dir, "--http", "127.0.0.1:0", "--log-level", "debug")
	s.process.Stderr = write
	err = errors.Join(read.Close(), s.process.Start(), write.Close())
	if err != nil {
		t.Fatal(err)
	}
	s.ask("wait", "--whole", "--timeout", "60s")
	s.stop()
}
