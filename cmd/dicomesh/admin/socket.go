package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// socketName is the socket's name in the state folder.
const socketName = "agent.sock"

// A socket's path has 107 bytes at most, and a state folder may lie deeper than that. So it is named through a descriptor of its folder.
func throughFolder(folder *os.File) string {
	return "/proc/self/fd/" + strconv.Itoa(int(folder.Fd())) + "/" + socketName
}

// listenSocket opens the socket in the state folder, which the caller owns: one that is there is left from a process that died.
func listenSocket(state string) (net.Listener, error) {
	if err := os.Remove(filepath.Join(state, socketName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listen for commands: %w", err)
	}
	folder, err := os.Open(state)
	if err != nil {
		return nil, fmt.Errorf("listen for commands: %w", err)
	}
	defer folder.Close()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: throughFolder(folder), Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen for commands: %w", err)
	}
	listener.SetUnlinkOnClose(false) // the name that it knows is gone with the descriptor
	if err := os.Chmod(filepath.Join(state, socketName), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("listen for commands: %w", err), listener.Close())
	}
	return listener, nil
}

// dialSocket connects to the agent that owns the state folder.
func dialSocket(ctx context.Context, state string) (net.Conn, error) {
	folder, err := os.Open(state)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	var d net.Dialer
	return d.DialContext(ctx, "unix", throughFolder(folder))
}
