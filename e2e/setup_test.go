package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// machines are where the README's set-up is followed, each a network namespace of its own. In it the names of the README are addresses, and /var/lib, /usr/local/bin and
// /etc/systemd are folders of the machine's own.
var machines = []string{"centre", "hospital-a", "hospital-b", "standby"}

// machine is the shell in which a block of the README runs. Only three programs are not what they are elsewhere: sudo has nobody to become, useradd makes the home
// alone, and systemctl starts what the unit's ExecStart says and waits until it answers.
const machine = `set -euo pipefail
mount -t tmpfs none /var/lib
mount -t tmpfs none /usr/local/bin
mount -t tmpfs none /etc/systemd
mount --bind "$MACHINE/hosts" /etc/hosts
mkdir -p "$MACHINE/data" "$MACHINE/bin" "$MACHINE/units" /var/lib/dicomesh /etc/systemd/system
mount --bind "$MACHINE/data" /var/lib/dicomesh
mount --bind "$MACHINE/bin" /usr/local/bin
mount --bind "$MACHINE/units" /etc/systemd/system
sudo() { if [ "$1" = -u ]; then shift 2; fi; "$@"; }
useradd() { test -d /var/lib/dicomesh; }
systemctl() {
	local command
	command=$(sed -n 's/^ExecStart=//p' "/etc/systemd/system/${!#}.service")
	setsid $command >"$MACHINE/agent.log" 2>&1 </dev/null &
	echo $! >"$MACHINE/pid"
	dicomesh wait --data /var/lib/dicomesh --timeout 60s --whole >/dev/null 2>&1 || true
}
set -x
`

// typed is a piece of the README with the machine that it is typed at; all of them if there is none.
type typed struct{ at, text string }

func setUpBlocks(t *testing.T) (blocks []typed) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?s)<!-- (?:at ([a-z-]+)|on each machine) -->\n```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, typed{m[1], m[2]})
	}
	if marks := strings.Count(string(text), "<!-- at ") + strings.Count(string(text), "<!-- on each"); len(blocks) < 8 || len(blocks) != marks {
		t.Fatalf("%d blocks, %d marks", len(blocks), marks)
	}
	return blocks
}

// TestSetUp follows the README word for word: two hospitals, of which one only dials out, a centre and a standby, on four machines.
func TestSetUp(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("machines are network namespaces, which need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("machines are network namespaces, which need iproute2")
	}
	blocks := setUpBlocks(t)
	folder := t.TempDir()
	wire(t, folder)
	t.Cleanup(func() { stopMachines(t, folder) })
	token := ""
	for _, b := range blocks {
		at := machines
		if b.at != "" {
			at = []string{b.at}
		}
		for _, name := range at {
			said := typeAt(t, folder, name, strings.ReplaceAll(b.text, "TOKEN", token))
			if words := strings.Fields(said); strings.Contains(b.text, "dicomesh token") && len(words) > 0 {
				token = words[len(words)-1]
			}
			if strings.Contains(b.text, "dicomesh studies") && !strings.Contains(said, "settled") {
				t.Errorf("%s says of the study that was received elsewhere:\n%s", name, said)
			}
		}
	}
}

// typeAt runs a block at a machine, and returns what it printed.
func typeAt(t *testing.T, folder, name, text string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ip", "netns", "exec", namespace(folder, name), "unshare", "-m", "bash", "-c", machine+text)
	cmd.Dir = root(t)
	cmd.Env = append(os.Environ(), "MACHINE="+filepath.Join(folder, name), "PATH=/usr/local/bin:"+os.Getenv("PATH"))
	var said, complaints strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &complaints
	if err := cmd.Run(); err != nil {
		log, _ := os.ReadFile(filepath.Join(folder, name, "agent.log"))
		t.Fatalf("at %s the README says\n%s\nbut: %v\n%s\n%s\n%s", name, text, err, said.String(), complaints.String(), log)
	}
	return said.String()
}

// namespace is a name that no other run has: the folder of the test is its own.
func namespace(folder, name string) string {
	sum := 0
	for _, c := range folder {
		sum = (sum*31 + int(c)) % 100000
	}
	return fmt.Sprintf("dm%d-%s", sum, name)
}

// wire makes the machines, and a switch between them.
func wire(t *testing.T, folder string) {
	t.Helper()
	run := func(args ...string) {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	between := namespace(folder, "switch")
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", between).Run() })
	run("netns", "add", between)
	run("-n", between, "link", "add", "name", "sw0", "type", "bridge")
	run("-n", between, "link", "set", "sw0", "up")
	hosts := "127.0.0.1 localhost\n"
	for i, name := range machines {
		hosts += fmt.Sprintf("10.99.0.%d %s.example.org\n", i+1, name)
	}
	for i, name := range machines {
		ns, port := namespace(folder, name), fmt.Sprintf("p%d", i)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", ns).Run() })
		run("netns", "add", ns)
		run("-n", ns, "link", "set", "lo", "up")
		run("-n", ns, "link", "add", "name", "eth0", "type", "veth", "peer", "name", port, "netns", between)
		run("-n", between, "link", "set", port, "master", "sw0", "up")
		run("-n", ns, "addr", "add", fmt.Sprintf("10.99.0.%d/24", i+1), "dev", "eth0")
		run("-n", ns, "link", "set", "eth0", "up")
		if err := os.MkdirAll(filepath.Join(folder, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name, "hosts"), []byte(hosts), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// stopMachines ends the agents, which have to end well.
func stopMachines(t *testing.T, folder string) {
	t.Helper()
	for _, name := range machines {
		pid, err := os.ReadFile(filepath.Join(folder, name, "pid"))
		if err != nil {
			continue // it never ran
		}
		stop := fmt.Sprintf("kill %[1]s && timeout 60 tail --pid=%[1]s -f /dev/null", strings.TrimSpace(string(pid)))
		if out, err := exec.Command("bash", "-c", stop).CombinedOutput(); err != nil {
			t.Errorf("the agent at %s does not stop: %v: %s", name, err, out)
		}
	}
}
