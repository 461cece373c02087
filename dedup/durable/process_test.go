package durable_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/durable/durabletest"
)

// role is set in a process that a test starts from its own binary: what to play, in which folder.
const role = "DICOMESH_TEST_ROLE"

func TestMain(m *testing.M) {
	play, dir, _ := strings.Cut(os.Getenv(role), " ")
	if play == "" {
		os.Exit(m.Run())
	}
	if err := plays[play](dir); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

var plays = map[string]func(dir string) error{"lock": holdLock, "stage": stageAndWait, "race": raceRenames}

// other is another process that plays a role until it is killed.
type other struct {
	*exec.Cmd
	in  io.Closer
	out *bufio.Reader
}

func start(t *testing.T, play, dir string) other {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), role+"="+play+" "+dir)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill() })
	return other{cmd, in, bufio.NewReader(out)}
}

// says waits for a line.
func (o other) says(t *testing.T, want string) {
	t.Helper()
	if line, err := o.out.ReadString('\n'); line != want+"\n" {
		t.Fatalf("the other process says %q, %v; want %q", line, err, want)
	}
}

func (o other) kill(t *testing.T) {
	t.Helper()
	must(t, o.Process.Kill())
	o.Wait()
}

// untilKilled says that all is ready, and waits.
func untilKilled() error {
	fmt.Println("ready")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func holdLock(dir string) error {
	o, err := durable.OpenOS(dir)
	if err != nil {
		return err
	}
	lock, err := o.Lock("lock")
	if err != nil {
		return err
	}
	defer lock.Close()
	return untilKilled()
}

func stageAndWait(dir string) error {
	o, err := durable.OpenOS(dir)
	if err != nil {
		return err
	}
	staging, err := durable.OpenStaging(o, tmp)
	if err != nil {
		return err
	}
	defer staging.Close()
	batch, err := staging.OpenBatch()
	if err != nil {
		return err
	}
	if _, err := batch.Create(); err != nil {
		return err
	}
	return untilKilled()
}

const races = 200

func raceRenames(dir string) error {
	o, err := durable.OpenOS(dir)
	if err != nil {
		return err
	}
	me := fmt.Sprint(os.Getpid())
	if err := o.Mkdir(me); err != nil {
		return err
	}
	for i := range races {
		f, err := o.Create(fmt.Sprintf("%s/%d", me, i))
		if err != nil {
			return err
		}
		if _, err := fmt.Fprint(f, me); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	if err := untilKilled(); err != nil { // here: until all are ready
		return err
	}
	won := 0
	for i := range races {
		err := o.Rename(fmt.Sprintf("%s/%d", me, i), fmt.Sprintf("final-%d", i))
		if err == nil {
			won++
		} else if !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	_, err = fmt.Println(won)
	return err
}

func TestLockAcrossProcesses(t *testing.T) {
	dir := t.TempDir()
	o := openOS(t, dir)
	holder := start(t, "lock", dir)
	holder.says(t, "ready")
	if _, err := o.TryLock("lock"); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("another process holds the lock and trylock says %v", err)
	}
	holder.kill(t)
	lock, err := o.TryLock("lock")
	if err != nil {
		t.Fatalf("the holder is dead and trylock says %v", err)
	}
	must(t, lock.Close())
}

func TestSweepRemovesWhatTheDeadLeft(t *testing.T) {
	dir := t.TempDir()
	o := openOS(t, dir)
	if n, err := durable.Sweep(o, tmp); n != 0 || err != nil {
		t.Errorf("sweep of nothing: %d, %v", n, err)
	}
	owner := start(t, "stage", dir)
	owner.says(t, "ready")
	staging, err := durable.OpenStaging(o, tmp) // beside the living one
	must(t, err)
	must(t, staging.Close())
	if n, err := durable.Sweep(o, tmp); n != 0 || err != nil {
		t.Errorf("sweep while the owner lives: %d, %v", n, err)
	}
	if _, err := o.Lstat(tmp + "/0/1"); err != nil {
		t.Errorf("the living owner's file: %v", err)
	}
	owner.kill(t)
	durabletest.Write(t, o, tmp+"/note", "not ours to remove")
	if n, err := durable.Sweep(o, tmp); n != 1 || err != nil {
		t.Errorf("sweep after the owner died: %d, %v; want 1", n, err)
	}
	for _, gone := range []string{"/0/1", "/1/1"} {
		if _, err := o.Lstat(tmp + gone); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", gone, err)
		}
	}
	if _, err := o.Lstat(tmp + "/note"); err != nil {
		t.Error(err)
	}
}

func TestRenameRaceAcrossProcesses(t *testing.T) {
	dir := t.TempDir()
	racers := []other{start(t, "race", dir), start(t, "race", dir)}
	for _, r := range racers {
		r.says(t, "ready")
	}
	for _, r := range racers {
		must(t, r.in.Close())
	}
	wins := 0
	for _, r := range racers {
		var won int
		_, err := fmt.Fscan(r.out, &won)
		must(t, err)
		must(t, r.Wait())
		wins += won
	}
	if wins != races {
		t.Errorf("%d renames to %d names succeeded", wins, races)
	}
}

// The number of a dead owner is used again, and its files are gone.
func TestStagingIsRenewed(t *testing.T) {
	o := openOS(t, t.TempDir())
	first, batch := open(t, o)
	_, err := batch.Create()
	must(t, err)
	must(t, first.Close()) // died
	second, batch := open(t, o)
	defer second.Close()
	must(t, place(batch, "a", 0, "a"))
	must(t, batch.Commit(nil))
	empty(t, o)
}
