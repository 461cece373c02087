package durable_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/durable/durabletest"
)

// ways are the ways in which OS does without what a kernel, a container or a file system does not have.
var ways = map[string]func(*durable.OS) durable.FS{
	"openat2":     func(o *durable.OS) durable.FS { return o },
	"no openat2":  func(o *durable.OS) durable.FS { o.Walk(); return o },
	"mute syncfs": func(o *durable.OS) durable.FS { o.SyncClosed(); return o },
	"no NOREPLACE": func(o *durable.OS) durable.FS {
		return byLink{o}
	},
}

type byLink struct{ *durable.OS }

func (b byLink) Rename(from, to string) error { return b.RenameByLink(from, to) }

func openOS(t testing.TB, dir string) *durable.OS {
	t.Helper()
	o, err := durable.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	return o
}

func TestConformance(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			durabletest.TestFS(t, func(t *testing.T) durable.FS { return way(openOS(t, t.TempDir())) })
		})
	}
}

func TestBatchOnDisk(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			o := way(openOS(t, t.TempDir()))
			for range 2 {
				must(t, store(o))
				must(t, check(o, true))
				empty(t, o)
			}
		})
	}
}

// Somebody put links and special files into the tree, pointing out of it and to what is in it.
func TestNoLinkIsFollowed(t *testing.T) {
	for _, name := range []string{"openat2", "no openat2"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			outside := filepath.Join(dir, "outside")
			root := filepath.Join(dir, "root")
			for _, d := range []string{outside, root, root + "/d"} {
				must(t, os.Mkdir(d, 0o755))
			}
			for _, f := range []string{outside + "/secret", root + "/d/a", root + "/mine"} {
				must(t, os.WriteFile(f, []byte(f), 0o644))
			}
			for link, target := range map[string]string{
				"out": outside, "up": "../outside", "in": "d", "file": "d/a", "secret": outside + "/secret", "dangling": "nothing", "self": "self",
				"proc": "/proc/self/root",
			} {
				must(t, os.Symlink(target, filepath.Join(root, link)))
			}
			o := ways[name](openOS(t, root))
			for _, file := range []string{"file", "secret", "dangling", "self"} {
				for op, err := range touch(o, file) {
					wantRefused(t, op, file, err)
				}
			}
			for _, folder := range []string{"out", "up", "in", "proc"} {
				for _, base := range []string{"secret", "a", "new"} {
					name := folder + "/" + base
					for op, err := range touch(o, name) {
						wantRefused(t, op, name, err)
					}
					for op, err := range map[string]error{
						"mkdir": o.Mkdir(name), "remove": o.Remove(name), "rename": o.Rename(name, "stolen"), "rename to": o.Rename("mine", name),
						"link": o.Link(name, "stolen"), "link to": o.Link("mine", name), "replace to": o.Replace("mine", name),
						"move": move(o, name, "stolen"), "move to": move(o, "mine", name), "move below": move(o, "mine", name+"/x"),
					} {
						wantRefused(t, op, name, err)
					}
				}
				_, err := o.ReadDir(folder)
				wantRefused(t, "readdir", folder, err)
				wantRefused(t, "syncdir", folder, o.SyncDir(folder))
			}
			if left, err := os.ReadDir(outside); err != nil || len(left) != 1 {
				t.Errorf("outside there is %v, %v", left, err)
			}
			info, err := o.Lstat("out")
			must(t, err)
			if info.Mode().Type() != fs.ModeSymlink {
				t.Errorf("lstat of a link: %v", info.Mode())
			}
			must(t, o.Remove("out")) // the link, not what it points to
			must(t, o.Replace("mine", "file"))
			if _, err := os.Stat(outside + "/secret"); err != nil {
				t.Error(err)
			}
		})
	}
}

func move(o durable.FS, from, to string) error {
	m := durable.NewMover(o)
	defer m.Close()
	_, err := m.Move(from, to)
	return err
}

// touch opens name in each way that there is.
func touch(o durable.FS, name string) map[string]error {
	failed := make(map[string]error)
	for op, open := range map[string]func(string) (io.Closer, error){
		"open":    func(name string) (io.Closer, error) { return o.Open(name) },
		"create":  func(name string) (io.Closer, error) { return o.Create(name) },
		"lock":    o.Lock,
		"trylock": o.TryLock,
	} {
		f, err := open(name)
		if err == nil {
			f.Close()
		}
		failed[op] = err
	}
	return failed
}

func wantRefused(t *testing.T, op, name string, err error) {
	t.Helper()
	if !errors.Is(err, durable.ErrNotRegular) && (op != "create" || !errors.Is(err, fs.ErrExist)) {
		t.Errorf("%s %s: %v; want ErrNotRegular", op, name, err)
	}
}

// A fifo would wait for its writer, a device may do anything.
func TestSpecialFilesAreRefused(t *testing.T) {
	for _, way := range []string{"openat2", "no openat2"} {
		dir := t.TempDir()
		must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644))
		socket, err := net.Listen("unix", filepath.Join(dir, "socket"))
		must(t, err)
		defer socket.Close()
		must(t, os.Mkdir(filepath.Join(dir, "folder"), 0o755))
		o := ways[way](openOS(t, dir))
		for _, name := range []string{"fifo", "socket", "folder"} {
			for op, err := range touch(o, name) {
				wantRefused(t, op, name, err)
			}
		}
		for name, kind := range map[string]fs.FileMode{"fifo": fs.ModeNamedPipe, "socket": fs.ModeSocket, "folder": fs.ModeDir} {
			if info, err := o.Lstat(name); err != nil || info.Mode().Type() != kind {
				t.Errorf("lstat %s: %v, %v", name, info, err)
			}
		}
	}
}

func TestModes(t *testing.T) {
	old := unix.Umask(0o022)
	defer unix.Umask(old)
	open := map[string]func(string) (*durable.OS, error){"-r--r--r-- drwxr-xr-x -rw-r--r--": durable.OpenOS, "-r-------- drwx------ -rw-------": durable.OpenPrivate}
	for want, open := range open {
		dir := t.TempDir()
		o, err := open(dir)
		must(t, err)
		defer o.Close()
		durabletest.Write(t, o, "file", "")
		must(t, o.Mkdir("folder"))
		lock, err := o.Lock("lock")
		must(t, err)
		defer lock.Close()
		var got []string
		for _, name := range []string{"file", "folder", "lock"} {
			info, err := o.Lstat(name)
			must(t, err)
			got = append(got, info.Mode().String())
		}
		if got := strings.Join(got, " "); got != want {
			t.Errorf("modes of file, folder, lock: %s; want %s", got, want)
		}
	}
}

func TestOpenOSWantsAFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o644))
	for _, dir := range []string{file, file + "-missing"} {
		if _, err := durable.OpenOS(dir); err == nil {
			t.Errorf("OpenOS(%s) succeeded", dir)
		}
	}
}

func TestMuteFileSystems(t *testing.T) {
	const nfs, overlay, fuse = 0x6969, 0x794c7630, 0x65735546
	for _, test := range []struct {
		kind    int64
		release string
		mute    bool
	}{
		{unix.EXT4_SUPER_MAGIC, "6.18.44-generic", false},
		{unix.XFS_SUPER_MAGIC, "5.8.0", false},
		{unix.XFS_SUPER_MAGIC, "5.7.19", true},
		{unix.EXT4_SUPER_MAGIC, "4.18.0-553.el8", true},
		{unix.EXT4_SUPER_MAGIC, "unheard of", true},
		{nfs, "6.18.44", true},
		{overlay, "6.18.44", true},
		{fuse, "6.18.44", true},
	} {
		if got := durable.Mute(test.kind, test.release); got != test.mute {
			t.Errorf("mute(%#x, %s) = %v", test.kind, test.release, got)
		}
	}
}

// Whatever the name: nothing appears outside the root, and the disk and its twin agree.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"a", "d/a", "d/b", "..", "../x", "/x", "d/../../x", "l/x", "l", ".", "", "a/", "a//b", "a/b", "\x00", "a\x00b", "d\\a", "x\n"} {
		f.Add(name)
	}
	dir := f.TempDir()
	count := 0
	f.Fuzz(func(t *testing.T, name string) {
		if len(name) > 200 || strings.ContainsRune(name, 0) || strings.HasPrefix(name, "l") {
			name = "" // too long or not for the kernel; or a link, which the twin has none of
		}
		count++
		outside := filepath.Join(dir, fmt.Sprint(count))
		root := filepath.Join(outside, "root")
		must(t, os.MkdirAll(root, 0o755))
		defer os.RemoveAll(outside)
		o, twin := openOS(t, root), crashfs.New()
		var got [2][]string
		for i, fsys := range []durable.FS{o, twin} {
			must(t, fsys.Mkdir("d"))
			durabletest.Write(t, fsys, "d/a", "x")
			durabletest.Write(t, fsys, "a", "x")
			for _, op := range []func() error{
				func() error { _, err := fsys.Open(name); return err },
				func() error { return fsys.Mkdir(name) },
				func() error { return fsys.Remove(name) },
				func() error { return fsys.Rename("a", name) },
				func() error { return fsys.Link(name, "free") },
				func() error { return fsys.Replace("d/a", name) },
			} {
				got[i] = append(got[i], kind(op()))
			}
		}
		if a, b := fmt.Sprint(got[0]), fmt.Sprint(got[1]); a != b {
			t.Errorf("%q: the disk says %s, the twin %s", name, a, b)
		}
		if left, err := os.ReadDir(outside); err != nil || len(left) != 1 {
			t.Errorf("%q: outside the root there is %v, %v", name, left, err)
		}
	})
}

// kind is what a caller can tell of an error.
func kind(err error) string {
	for _, kind := range []error{nil, fs.ErrExist, fs.ErrNotExist, fs.ErrInvalid, fs.ErrPermission, durable.ErrNotRegular, durable.ErrLocked} {
		if errors.Is(err, kind) {
			return fmt.Sprint(kind)
		}
	}
	return err.Error()
}

// What a file of 8 KiB costs in a batch of 1,000, folders as in bulkdata.
func BenchmarkBatch(b *testing.B) {
	o := openOS(b, b.TempDir())
	staging, err := durable.OpenStaging(o, tmp)
	if err != nil {
		b.Fatal(err)
	}
	data, files := strings.Repeat("x", 8<<10), 0
	for b.Loop() {
		batch, err := staging.OpenBatch()
		if err != nil {
			b.Fatal(err)
		}
		for range 1000 {
			files++
			name := fmt.Sprintf("studies/1/bulkdata/%03x/%02x/%x", files*7919%4096, files*104729%256, files)
			if err := place(batch, name, 0, data); err != nil {
				b.Fatal(err)
			}
		}
		if err := batch.Commit(nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(files)/b.Elapsed().Seconds(), "files/s")
}

// The opening of the folder that holds a name is nearly all that this costs.
func BenchmarkLstat(b *testing.B) {
	o := openOS(b, b.TempDir())
	if err := durable.MkdirAll(o, "studies/1/bulkdata/000/00"); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := o.Lstat("studies/1/bulkdata/000/00"); err != nil {
			b.Fatal(err)
		}
	}
}
