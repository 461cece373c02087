package demo

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
)

// site is one site of the demo.
type site struct {
	name   string
	data   string // its folder
	listen *net.UDPAddr
	relay  *relay
	client *admin.Client
	agent  *exec.Cmd
	ended  chan struct{} // closed when the agent has ended
}

// settings are what the demo's sites have otherwise than the defaults.
const settings = `links:
  profile: lan # a cut is noticed within 15 s
combine:
  after: 1h    # so that the archives do not change while they are compared file by file
`

// stopTime is how long an agent may take to stop before it is killed.
const stopTime = 20 * time.Second

// freePort is a UDP port of this machine that nobody has now.
func freePort() (*net.UDPAddr, error) {
	port, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	address := port.LocalAddr().(*net.UDPAddr)
	return address, port.Close()
}

// newSite makes a site's folder and its relay.
func newSite(folder, name string, c *cuts) (*site, error) {
	listen, err := freePort()
	if err != nil {
		return nil, fmt.Errorf("find a free UDP port: %w", err)
	}
	r, err := openRelay(c, name, listen)
	if err != nil {
		return nil, fmt.Errorf("open a relay: %w", err)
	}
	s := &site{name: name, data: filepath.Join(folder, name), listen: listen, relay: r}
	s.client = admin.NewClient(filepath.Join(s.data, "state"))
	if err := os.MkdirAll(s.data, 0o755); err != nil {
		return nil, err
	}
	return s, os.WriteFile(filepath.Join(s.data, "config.yaml"), []byte(settings), 0o644)
}

// run runs the program with arguments and returns what it printed.
func run(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("dicomesh %s: %w\n%s", args[0], err, strings.TrimSpace(said.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// start starts the site's agent. It is in a process group of its own, so that an interrupt at the terminal is the demo's to pass on.
func (s *site) start(program string) error {
	log, err := os.Create(filepath.Join(s.data, "agent.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	s.agent = exec.Command(program, "agent", "--data", s.data, "--http", "127.0.0.1:0")
	s.agent.Stdout, s.agent.Stderr = log, log
	s.agent.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.agent.Start(); err != nil {
		return err
	}
	s.ended = make(chan struct{})
	go func() {
		_ = s.agent.Wait() // how it ended is in its log
		close(s.ended)
	}()
	return nil
}

// stop ends the agent, and returns when it has ended.
func (s *site) stop() {
	if s.agent == nil || s.agent.Process == nil {
		return
	}
	_ = s.agent.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(stopTime):
		_ = s.agent.Process.Kill()
		<-s.ended
	}
}

// until waits until the site's status is as wanted, and says how long that took. What it is now goes to watch.
func (s *site) until(ctx context.Context, limit time.Duration, wanted func(admin.Status) bool) (time.Duration, error) {
	began := time.Now()
	var last admin.Status
	for {
		status, err := s.client.Status(ctx)
		if err == nil {
			if last = status; wanted(status) {
				return time.Since(began), nil
			}
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-s.ended:
			return 0, fmt.Errorf("the agent of %s has ended: see %s", s.name, filepath.Join(s.data, "agent.log"))
		case <-time.After(50 * time.Millisecond):
		}
		if time.Since(began) > limit {
			return 0, fmt.Errorf("%s is %s (%s), %+v, after %v", s.name, last.State, last.Reason, last.Studies, limit)
		}
	}
}
