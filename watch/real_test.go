package watch

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

// told is what a watcher said, in order.
type told struct {
	mu    sync.Mutex
	said  map[dedup.UID][]Why
	when  map[dedup.UID]time.Time
	news  chan struct{}
	check func(study dedup.UID, why Why) // at each call
}

func newTold() *told {
	return &told{said: make(map[dedup.UID][]Why), when: make(map[dedup.UID]time.Time), news: make(chan struct{}, 1)}
}

func (s *told) touched(study dedup.UID, why Why) {
	s.mu.Lock()
	s.said[study] = append(s.said[study], why)
	s.when[study] = time.Now()
	s.mu.Unlock()
	if s.check != nil {
		s.check(study, why)
	}
	select {
	case s.news <- struct{}{}:
	default:
	}
}

func (s *told) of(study string) []Why {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.said[uid(study)])
}

func (s *told) count(why Why) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, said := range s.said {
		if slices.Contains(said, why) {
			n++
		}
	}
	return n
}

func (s *told) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.said)
}

func uid(text string) dedup.UID {
	u, err := dedup.ParseUID(text)
	if err != nil {
		panic(err)
	}
	return u
}

// whole is the content of a file that is complete.
var whole = dedup.Compress(nil, []byte("[]"))

// site is a tree on this machine's disk and a watcher of it.
type site struct {
	t   testing.TB
	dir string
	*told
	*Watcher
	log bytes.Buffer
}

// quick is a Config with which tests do not wait for long. Nothing but time depends on it.
func quick(dir string) Config {
	return Config{Dir: dir, Quiet: 20 * time.Millisecond, Cycle: 500 * time.Millisecond, Rest: -1, pulse: 200 * time.Millisecond}
}

func newSite(t testing.TB, change func(*Config)) *site {
	t.Helper()
	s := &site{t: t, dir: filepath.Join(t.TempDir(), "tree"), told: newTold()}
	for _, dir := range []string{marker, "studies"} {
		s.must(os.MkdirAll(s.path(dir), 0o755))
	}
	c := quick(s.dir)
	c.Touched = s.touched
	c.Log = slog.New(slog.NewTextHandler(&s.log, nil))
	if change != nil {
		change(&c)
	}
	s.Watcher = New(c)
	return s
}

// run runs the watcher until the test ends.
func (s *site) run() {
	done := make(chan error)
	go func() { done <- s.Run(s.t.Context()) }()
	s.t.Cleanup(func() {
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// until waits until something holds.
func (s *site) until(what string, holds func() bool) {
	s.t.Helper()
	tick, over := time.NewTicker(10*time.Millisecond), time.After(2*time.Minute)
	defer tick.Stop()
	for !holds() {
		select {
		case <-s.news:
		case <-tick.C:
		case <-over:
			s.t.Fatalf("waited in vain until %s; status %+v", what, s.Status())
		}
	}
}

func (s *site) untilTouched(study string, why Why) {
	s.t.Helper()
	s.until(fmt.Sprintf("%s is touched because %s", study, why), func() bool { return slices.Contains(s.of(study), why) })
}

// put makes a whole file appear by rename, as our own commits do.
func (s *site) put(name string) {
	s.t.Helper()
	s.must(os.MkdirAll(filepath.Dir(s.path(name)), 0o755))
	temp := filepath.Join(s.dir, marker, fmt.Sprintf("new-%x", []byte(name)))
	if len(temp) > 200 {
		temp = temp[:200]
	}
	s.must(os.WriteFile(temp, whole, 0o644))
	s.must(os.Rename(temp, s.path(name)))
}

func listName(n int) string { return fmt.Sprintf("%064x.gz", n) }

func inst(study string, n int) string {
	return fmt.Sprintf("studies/%s/deduplicated/instances/1.2.3.%d.gz", study, n)
}

// idle waits until every study has been looked at and the folders of all hot ones are watched.
func (s *site) idle() {
	s.t.Helper()
	s.until("a cycle is over", func() bool { return s.Status().Cycles > 0 })
}

func TestAppears(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *Config) { c.Cycle = time.Hour })
	s.put("studies/1.1/deduplicated/" + listName(1))
	s.must(os.MkdirAll(s.path("studies/abc/def"), 0o755))
	s.must(os.Mkdir(s.path("instances"), 0o755))
	s.run()
	s.untilTouched("1.1", First)
	for study, name := range map[string]string{
		"1.1": "studies/1.1/deduplicated/" + listName(2),             // a watched folder
		"1.2": "studies/1.2/deduplicated/instances/1.2.3.gz",         // folders and all
		"1.3": "deduplicated/1.3/" + listName(3),                     // another writer's root, which was not there
		"1.4": "instances/1.4/" + listName(4),                        // another one, which was
		"1.5": "studies/1.5/deduplicated/isntances/1.2.3.gz",         // misspelt
		"1.6": "studies/1.6/variants/instances/1.2.3." + listName(5), // a variant
	} {
		s.put(name)
		s.untilTouched(study, Appeared)
	}
	// The second file of each, in folders that are watched by now.
	s.forget()
	for study, name := range map[string]string{
		"1.2": "studies/1.2/deduplicated/instances/1.2.4.gz", "1.3": "deduplicated/1.3/" + listName(6), "1.4": "instances/1.4/" + listName(7),
		"1.5": "studies/1.5/deduplicated/isntances/1.2.4.gz", "1.6": "studies/1.6/variants/lists/" + strings.TrimSuffix(listName(8), ".gz") + "." + listName(9),
	} {
		s.put(name)
		s.untilTouched(study, Appeared)
	}
}

// TestSwappedFolders: a folder that is watched goes, and another one comes into its place; what appears in that is told of.
func TestSwappedFolders(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"studies/1.1/deduplicated", "studies/1.1", "studies"} {
		t.Run(strings.ReplaceAll(folder, "/", "_"), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *Config) { c.Cycle = time.Hour })
			s.put("studies/1.1/deduplicated/" + listName(1))
			s.run()
			s.untilTouched("1.1", First)
			s.until("the study is watched", func() bool { return s.Status().Hot == 1 && s.Status().Watches == 4 })
			s.must(os.MkdirAll(s.path("new/1.1/deduplicated"), 0o755))
			s.must(os.MkdirAll(s.path("new/deduplicated"), 0o755))
			source := map[string]string{"studies/1.1/deduplicated": "new/deduplicated", "studies/1.1": "new/1.1", "studies": "new"}[folder]
			s.must(os.Rename(s.path(folder), s.path("old")))
			s.must(os.Rename(s.path(source), s.path(folder)))
			for n := 2; n < 5; n++ { // the second and third in a folder of which it is known that it is another one
				s.forget()
				s.put("studies/1.1/deduplicated/" + listName(n))
				s.untilTouched("1.1", Appeared)
			}
			if folder == "studies" && s.Status().Rescans.Folders == 0 {
				t.Error("nobody told that the folder of studies is another one")
			}
		})
	}
}

// TestHints: a hint is another one when a file has appeared, and none while its folder's time is too young to show another change.
func TestHints(t *testing.T) {
	s := newSite(t, nil)
	s.put("studies/1.1/deduplicated/" + listName(1))
	now := time.Now()
	d := s.disk.(disk)
	d.now = func() time.Time { return now }
	hint := func() uint64 { return d.glance([]dedup.UID{uid("1.1")})[0] }
	if got := hint(); got != 0 {
		t.Errorf("a folder that was just written in has a hint: %d", got)
	}
	now = now.Add(time.Hour)
	first := hint()
	if first == 0 || first != hint() {
		t.Errorf("hints: %d, %d", first, hint())
	}
	for _, name := range []string{"studies/1.1/deduplicated/" + listName(2), "studies/1.1/deduplicated/instances/1.2.gz", "instances/1.1/" + listName(3)} {
		s.put(name)
		second := hint()
		if second == first {
			t.Errorf("%s does not show", name)
		}
		first = second
	}
	s.must(os.Remove(s.path("instances/1.1/" + listName(3))))
	if hint() == first {
		t.Error("a file that went does not show")
	}
}

// TestReadChanged: a file that is not what it was when it was looked at is no complete one, whatever reading it gave.
func TestReadChanged(t *testing.T) {
	s := newSite(t, nil)
	name := "studies/1.1/deduplicated/" + listName(1)
	s.put(name)
	read := func(files []file) verdict { return s.disk.read(uid("1.1"), files)[0] }
	look := func() []file { return s.disk.look(uid("1.1"), false, func(string) {}).files }
	files := look()
	if got := read(files); got != complete {
		t.Errorf("a whole file: %d", got)
	}
	s.must(os.WriteFile(s.path(name), append(slices.Clone(whole), whole...), 0o644))
	if got := read(files); got != changed {
		t.Errorf("a file that was written to: %d", got)
	}
	files = look()
	s.must(os.Truncate(s.path(name), int64(len(whole)-1)))
	if got := read(files); got != changed {
		t.Errorf("a file that was cut: %d", got)
	}
	if got := read(look()); got != unfinished {
		t.Errorf("half a file: %d", got)
	}
	s.must(os.Remove(s.path(name)))
	if got := read(files); got != changed {
		t.Errorf("a file that is gone: %d", got)
	}
}

// TestLayouts: a study where another writer's option puts it, two levels deeper, is found by the cycle, and so is a file of class Other.
func TestLayouts(t *testing.T) {
	t.Parallel()
	const hashed = "1.2.840.113619.2.5.1762583153" // its hash begins with c6bb87
	s := newSite(t, func(c *Config) { c.Deep = 1 })
	s.put("studies/1.1/deduplicated/" + listName(1))
	s.run()
	s.untilTouched("1.1", First)
	s.put("studies/c6b/b87/" + hashed + "/deduplicated/" + listName(2))
	s.untilTouched(hashed, Appeared)
	s.put("studies/c6b/b87/" + hashed + "/deduplicated/" + listName(3))
	s.until("the second list is told of", func() bool { return len(s.of(hashed)) > 1 })
	s.idle()
	s.forget()
	s.put("studies/1.1/series/1.2/instances/1.3/frames/1.mht")
	s.untilTouched("1.1", Appeared)
}

// TestTornOnDisk writes real files in pieces, in place, of which nothing but reading tells that they are torn.
func TestTornOnDisk(t *testing.T) {
	t.Parallel()
	for name, content := range map[string][]byte{
		"studies/1.1/deduplicated/" + listName(1):                         dedup.Compress(nil, bytes.Repeat([]byte(`["0020000D"]`), 500)),
		"deduplicated/1.1/" + strings.TrimSuffix(listName(1), ".gz"):      []byte(`[{"0020000D":{"vr":"UI"}},[1,2],{}]`),
		"studies/1.1/deduplicated/instances/1.2.3.gz":                     whole,
		"instances/1.1/" + strings.TrimSuffix(listName(1), ".gz") + ".gz": whole,
	} {
		t.Run(strings.ReplaceAll(name, "/", "_"), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, nil)
			s.run()
			s.idle()
			s.must(os.MkdirAll(filepath.Dir(s.path(name)), 0o755))
			f, err := os.Create(s.path(name))
			s.must(err)
			defer f.Close()
			for _, end := range []int{0, len(content) / 2, len(content) - 1} {
				at, err := f.Seek(0, 1)
				s.must(err)
				_, err = f.Write(content[at:end])
				s.must(err)
				s.until("the torn file is known", func() bool { return slices.Equal(s.Unfinished(uid("1.1")), []string{name}) })
				looks := s.Status().Looks
				s.until("it was looked at again", func() bool { return s.Status().Looks > looks+2 })
				if got := s.of("1.1"); len(got) > 0 {
					t.Fatalf("touched (%v) while %d of %d bytes are there", got, end, len(content))
				}
			}
			_, err = f.Write(content[len(content)-1:])
			s.must(err)
			s.untilTouched("1.1", Appeared)
			s.until("nothing is unfinished", func() bool { return s.Status().Unfinished == 0 })
		})
	}
}

// TestIgnored: unfinished files under other writers' temporary names, and files of no class, are nobody's news.
func TestIgnored(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.put("studies/1.1/deduplicated/" + listName(1))
	s.run()
	s.untilTouched("1.1", First)
	s.idle()
	s.forget()
	for _, name := range []string{"tempFile-123", "temp-x.gz", "notes.txt", "index.json.gz"} {
		s.must(os.WriteFile(s.path("studies/1.1/deduplicated/"+name), whole, 0o644))
	}
	s.must(os.WriteFile(s.path("studies/index.json.gz"), whole, 0o644))
	s.must(os.Symlink(s.path("studies/1.1/deduplicated/"+listName(1)), s.path("studies/1.1/deduplicated/"+listName(2))))
	s.must(os.Symlink(s.path("studies/1.1"), s.path("studies/1.7")))
	cycles := s.Status().Cycles
	s.until("two cycles are over", func() bool { return s.Status().Cycles > cycles+2 })
	if len(s.of("1.1"))+len(s.of("1.7")) > 0 {
		t.Errorf("touched: %v", s.said)
	}
	s.must(os.Rename(s.path("studies/1.1/deduplicated/tempFile-123"), s.path("studies/1.1/deduplicated/"+listName(3))))
	s.untilTouched("1.1", Appeared)
}

func TestJSONToEnd(t *testing.T) {
	for text, want := range map[string]bool{
		`[]`: true, `{}`: true, ` [{"a":[1]},2] `: true, `[[[[]]]]`: true,
		``: false, ` `: false, `[`: false, `[1`: false, `[1,`: false, `[{"a":1}`: false, `{"a"`: false, `[]]`: false, `[] []`: false, `1`: false, `"a"`: false, `[}`: false,
	} {
		if err := jsonToEnd(strings.NewReader(text)); (err == nil) != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestNewFolders makes trees of folders so fast that only the first of them is told of.
func TestNewFolders(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *Config) { c.Cycle = time.Hour })
	s.run()
	s.idle()
	const studies = 300
	for i := range studies {
		s.put(inst(fmt.Sprintf("1.9.%d", i), i))
	}
	s.until("all studies are touched", func() bool { return s.count(Appeared) == studies })
	if got := s.Status(); got.Cycles > 1 || got.Rescans.Overflow > 0 {
		t.Errorf("that was not the notifications' work: %+v", got)
	}
}

// TestVanishedMount takes the studies away and back, and the whole tree, in the ways in which that is seen differently.
func TestVanishedMount(t *testing.T) {
	t.Parallel()
	for what, move := range map[string][2]string{"studies": {"studies", "elsewhere"}, "tree": {".", "../elsewhere"}, "marker": {marker, "elsewhere"}} {
		t.Run(what, func(t *testing.T) {
			s := newSite(t, nil)
			for i := range 20 {
				s.put(inst(fmt.Sprintf("1.%d", i), i))
			}
			s.run()
			s.until("all studies are looked at", func() bool { return s.count(First) == 20 })
			s.idle()
			s.forget()
			from, to := s.path(move[0]), s.path(move[1])
			s.must(os.Rename(from, to))
			if what == "studies" {
				s.must(os.Mkdir(from, 0o755)) // a mount point without its mount
			}
			s.until("the tree is said to be gone", func() bool { return !s.Status().Unreachable.IsZero() && s.Status().Reason != "" })
			if what == "studies" {
				s.must(os.Remove(from))
			}
			s.must(os.Rename(to, from))
			s.put(inst("1.3", 100))
			s.untilTouched("1.3", Appeared)
			s.until("the tree is back and looked at", func() bool {
				now := s.Status()
				return now.Unreachable.IsZero() && now.Rescans.Returned > 0 && now.Hot == 20 && now.Watches > 20
			})
			if n := s.count(Vanished); n > 0 {
				t.Errorf("%d studies are said to have vanished", n)
			}
			s.forget()
			s.put(inst("1.4", 100))
			s.untilTouched("1.4", Appeared)
		})
	}
}

// TestVanished: a file and a study that really go are told of.
func TestVanished(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for i := range 3 {
		s.put(inst(fmt.Sprintf("1.%d", i), 1))
		s.put(inst(fmt.Sprintf("1.%d", i), 2))
	}
	s.run()
	s.until("all studies are looked at", func() bool { return s.count(First) == 3 })
	s.must(os.Remove(s.path(inst("1.1", 1))))
	s.untilTouched("1.1", Vanished)
	s.must(os.RemoveAll(s.path("studies/1.2")))
	s.untilTouched("1.2", Vanished)
	s.put(inst("1.2", 1))
	s.untilTouched("1.2", Appeared)
	if got := s.of("1.0"); slices.Contains(got, Vanished) {
		t.Errorf("nothing of this study has vanished: %v", got)
	}
}

// TestOverflow lets 5,000 files appear at once in 500 studies while the kernel keeps 64 notifications and nobody reads them.
func TestOverflow(t *testing.T) {
	const limit = "/proc/sys/fs/inotify/max_queued_events"
	was, err := os.ReadFile(limit)
	if err != nil {
		t.Skip("no inotify here: ", err)
	}
	if err := os.WriteFile(limit, []byte("64"), 0o644); err != nil {
		t.Skip("only root may make the kernel's queue short: ", err)
	}
	restore := sync.OnceFunc(func() { _ = os.WriteFile(limit, was, 0o644) })
	t.Cleanup(restore)

	const studies, each = 500, 10
	s := newSite(t, func(c *Config) { c.Cycle = time.Hour })
	for i := range studies {
		s.put(inst(fmt.Sprintf("1.%d", i), 0))
	}
	s.run()
	s.until("all studies are watched", func() bool { return s.Status().Hot == studies && s.count(First) == studies })
	restore() // a queue keeps the length that it was made with

	names := make([]string, 0, studies*each)
	for i := range studies {
		for n := 1; n <= each; n++ {
			names = append(names, s.path(inst(fmt.Sprintf("1.%d", i), n)))
		}
	}
	file := s.path(marker + "/file")
	s.must(os.WriteFile(file, whole, 0o644))
	held := func(study dedup.UID) int {
		entries, _ := os.ReadDir(s.path("studies/" + study.String() + "/deduplicated/instances"))
		return len(entries)
	}
	var mu sync.Mutex
	seen := make(map[dedup.UID]int) // what was there when the study was last touched: what a look found then
	s.check = func(study dedup.UID, _ Why) {
		mu.Lock()
		defer mu.Unlock()
		seen[study] = held(study)
	}
	s.ears.mu.Lock()
	for _, name := range names {
		if err := os.Link(file, name); err != nil {
			s.ears.mu.Unlock()
			t.Fatal(err)
		}
	}
	s.ears.mu.Unlock()
	s.until("every study was touched with all its files there", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for i := range studies {
			if seen[uid(fmt.Sprintf("1.%d", i))] != each+1 {
				return false
			}
		}
		return true
	})
	got := s.Status()
	if got.Overflows == 0 || got.Rescans.Overflow == 0 {
		t.Errorf("the queue never overflowed: %+v", got)
	}
	t.Logf("%d overflows, %d rescans, %d looks, %d touches", got.Overflows, got.Rescans.Overflow, got.Looks, got.Touches)
}
