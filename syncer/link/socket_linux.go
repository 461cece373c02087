package link

import (
	"fmt"
	"net"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// wantedBuffer is what quic-go asks the kernel for: less of it loses packets at high rates.
const wantedBuffer = 7 << 20

// look finds out what the port can do. It is called after quic-go has asked for its buffers.
func look(port net.PacketConn) Socket {
	s := Socket{Address: port.LocalAddr().String()}
	c, is := port.(syscall.Conn)
	if !is {
		return s
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return s
	}
	raw.Control(func(fd uintptr) {
		get := func(level, option int) (int, error) { return unix.GetsockoptInt(int(fd), level, option) }
		s.ReceiveBuffer, _ = get(unix.SOL_SOCKET, unix.SO_RCVBUF)
		s.SendBuffer, _ = get(unix.SOL_SOCKET, unix.SO_SNDBUF)
		_, err := get(unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		s.GSO = err == nil
	})
	s.Advice = advice(s)
	return s
}

// advice is what would help. The kernel reports twice what it was asked for.
func advice(s Socket) string {
	var help []string
	if s.ReceiveBuffer < wantedBuffer {
		help = append(help, fmt.Sprintf("the receive buffer of the UDP port is %d bytes: sysctl -w net.core.rmem_max=%d", s.ReceiveBuffer, wantedBuffer))
	}
	if s.SendBuffer < wantedBuffer {
		help = append(help, fmt.Sprintf("its send buffer is %d bytes: sysctl -w net.core.wmem_max=%d", s.SendBuffer, wantedBuffer))
	}
	if !s.GSO {
		help = append(help, "the kernel has no segmentation offload for UDP (Linux 5 and later have), which costs twice the processor time")
	}
	return strings.Join(help, "; ")
}
