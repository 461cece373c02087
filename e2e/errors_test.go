package e2e

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/e2e/golden"
)

// TestErrors plays testdata/errors/*.txt: what is typed, and indented below it what dicomesh answers, with its exit code. These are texts to be read aloud: each says what
// is wrong, and in a line of its own what to type or do next. Of what is typed, bash runs all but these:
//
//	> COMMAND           prepares: it has to end well, and what it says is not looked at
//	nobody COMMAND      runs as a user who may write nothing here
//	start SITE ADDRESS  starts the agent of a folder and waits until it answers; ADDRESS is that of its HTTP port
//	stop SITE, kill SITE
//	disk FOLDER         makes the folder a disk of a megabyte (for root; the rest is skipped for others)
//
// $HTTP and $UDP are addresses that another program has taken, $FREE1 to $FREE9 some that nobody has.
func TestErrors(t *testing.T) {
	t.Parallel()
	golden.Play(t, "testdata/errors/*.txt", func(t *testing.T, text string) string { return newTalk(t).play(text) })
}

// talk is one folder in which things are typed.
type talk struct {
	t      *testing.T
	dir    string
	names  []string // of addresses, each with its value behind it
	agents map[string]*exec.Cmd
}

func newTalk(t *testing.T) *talk {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // for nobody
		t.Fatal(err)
	}
	k := &talk{t: t, dir: dir, agents: map[string]*exec.Cmd{}}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp := k.udp()
	k.names = []string{"HTTP", tcp.Addr().String(), "UDP", udp.LocalAddr().String()}
	for n := range 9 {
		free := k.udp()
		k.names = append(k.names, "FREE"+strconv.Itoa(n+1), free.LocalAddr().String())
		defer free.Close() // all are chosen before any is given back
	}
	t.Cleanup(func() {
		for _, a := range k.agents {
			_ = a.Process.Kill() // it may have ended
			_ = a.Wait()
		}
		_, _ = tcp.Close(), udp.Close() // what they were for is over
	})
	return k
}

func (k *talk) udp() net.PacketConn {
	k.t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		k.t.Fatal(err)
	}
	return c
}

// play types what a text says, and returns it with the answers of today.
func (k *talk) play(text string) string {
	var said strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "    ") {
			continue
		}
		said.WriteString(line + "\n")
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "", "#":
		case ">":
			if out, code := k.run(rest, false); code != 0 {
				k.t.Fatalf("%s: exit code %d: %s", rest, code, out)
			}
		case "start":
			k.start(strings.Fields(rest))
		case "stop", "kill":
			k.end(rest, map[string]syscall.Signal{"stop": syscall.SIGTERM, "kill": syscall.SIGKILL}[word])
		case "disk":
			k.disk(rest)
		case "nobody":
			k.answer(&said, rest, true)
		default:
			k.answer(&said, line, false)
		}
	}
	return said.String()
}

// answer types a command and writes what came of it.
func (k *talk) answer(said *strings.Builder, command string, nobody bool) {
	out, code := k.run(command, nobody)
	said.WriteString("    exit " + strconv.Itoa(code) + "\n")
	for line := range strings.Lines(out) {
		said.WriteString("    " + strings.TrimRight(line, "\n") + "\n")
	}
	k.judge(command, out, code)
}

// slips are words of programmers, in which nobody should be answered.
var slips = regexp.MustCompile(`strconv|%!|<nil>|0x[0-9a-f]{2}|goroutine|panic|unmarshal|errno|bit (int|float)|\bEOF\b|no such file|permission denied|not a directory|no space left|already in use|connection refused`)

// judge holds that an answer of dicomesh is one for people: what is wrong, in one paragraph, and what to do next in the line below it.
func (k *talk) judge(command, out string, code int) {
	if !strings.HasPrefix(command, "dicomesh") {
		return
	}
	lines := strings.Split(strings.TrimRight(out, "\n"), "\n")
	what := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "dicomesh: ") })
	last := lines[len(lines)-1]
	switch {
	case code < 1 || code > 4:
		k.t.Errorf("%s\nexit code %d is not one of an error", command, code)
	case what < 0:
		k.t.Errorf("%s\ndoes not say what is wrong: %s", command, out)
	case !strings.HasPrefix(last, "  ") || len(strings.TrimSpace(last)) < 10:
		k.t.Errorf("%s\ndoes not say what to do next: %s", command, out)
	case slips.MatchString(out):
		k.t.Errorf("%s\nsays %q, which is a programmer's word: %s", command, slips.FindString(out), out)
	}
}

// run runs a command in bash, and returns all that it says, with the names of what differs from run to run.
func (k *talk) run(command string, nobody bool) (string, int) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", "exec "+command)
	if strings.ContainsAny(command, "&|;>$(") {
		cmd = exec.CommandContext(ctx, "bash", "-c", command)
	}
	cmd.Dir, cmd.WaitDelay = k.dir, time.Second
	cmd.Env = k.env()
	if nobody && os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); ctx.Err() != nil || err != nil && cmd.ProcessState == nil {
		k.t.Fatalf("%s: %v, %v: %s", command, err, context.Cause(ctx), out.String())
	}
	return k.named(out.String()), cmd.ProcessState.ExitCode()
}

func (k *talk) env() []string {
	env := append(os.Environ(), "PATH="+path(), "HOME="+k.dir, "LC_ALL=C", "TZ=UTC")
	for i := 0; i < len(k.names); i += 2 {
		env = append(env, k.names[i]+"="+k.names[i+1])
	}
	return env
}

var (
	times  = regexp.MustCompile(`\b20[23][0-9]-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?( UTC|Z)?`)
	logged = regexp.MustCompile(`(?m)^time=.*\n`)
	sizes  = regexp.MustCompile(`\d+(\.\d+)? (B|kB|MB)\b`)
	ids    = regexp.MustCompile(`\b[0-9a-f]{32}\b|(?:tmp/\d+/|export-)\d+`)
)

// named puts names where each run has its own: the folder, addresses, times.
func (k *talk) named(text string) string {
	text = strings.ReplaceAll(logged.ReplaceAllString(text, ""), k.dir, "$DIR")
	for i := 0; i < len(k.names); i += 2 {
		text = strings.ReplaceAll(text, k.names[i+1], "$"+k.names[i])
	}
	return sizes.ReplaceAllString(ids.ReplaceAllString(times.ReplaceAllString(text, "TIME"), "ID"), "SIZE")
}

// start starts the agent of a folder, and returns when it answers.
func (k *talk) start(words []string) {
	k.t.Helper()
	site := words[0]
	address := os.Expand(strings.Join(words[1:], ""), func(name string) string { return k.names[slices.Index(k.names, name)+1] })
	agent := exec.Command(filepath.Join(binDir(), "dicomesh"), "agent", "--data", site, "--http", address)
	agent.Dir, agent.Env = k.dir, k.env()
	if err := agent.Start(); err != nil {
		k.t.Fatal(err)
	}
	k.agents[site] = agent
	eventually(k.t, time.Minute, site+" runs", func() bool {
		out, code := k.run("dicomesh status --json --data "+site, false)
		return code == 0 && strings.Contains(out, `"agent":"running"`)
	})
}

func (k *talk) end(site string, by syscall.Signal) {
	k.t.Helper()
	agent := k.agents[site]
	if err := agent.Process.Signal(by); err != nil {
		k.t.Fatal(err)
	}
	var ended *exec.ExitError
	if err := agent.Wait(); err != nil && !errors.As(err, &ended) {
		k.t.Fatal(err)
	}
	delete(k.agents, site)
}

// disk makes a folder a small disk.
func (k *talk) disk(folder string) {
	k.t.Helper()
	if os.Geteuid() != 0 {
		k.t.Skip("mounting a small disk needs root")
	}
	dir := filepath.Join(k.dir, folder)
	if err := os.Mkdir(dir, 0o755); err != nil {
		k.t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		k.t.Skip("a small disk cannot be mounted here: ", err)
	}
	k.t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			k.t.Error(err)
		}
	})
}
