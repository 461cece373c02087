package link

import (
	"encoding/binary"
	"net"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// coalesced is a UDP port whose kernel hands over packets of one sender in runs, as one large read each (UDP_GRO), instead of one by one: the counterpart of
// segmentation offload, by which a run is sent. quic-go knows nothing of runs, but takes its packets from whoever has a ReadBatch; this one cuts the runs into
// the packets that they were. It is read by one goroutine, as quic-go does.
type coalesced struct {
	*net.UDPConn
	batch *ipv4.PacketConn // reads several runs at a time, of either version of IP
	runs  []ipv4.Message
	next  int // the run to cut next
	cut   int // how much of it was cut off already
}

// The shape of reads: so many runs at a time, each as large as a packet of IP can be.
const (
	runsAtATime = 8
	longestRun  = 1<<16 - 1
	controlRoom = 128 // what the kernel says about a run: its segments' size, ECN and addresses
)

// coalesce has the kernel coalesce what arrives at a port, if it can and the port is one of the kernel's.
func coalesce(port net.PacketConn) net.PacketConn {
	udp, is := port.(*net.UDPConn)
	if !is {
		return port
	}
	raw, err := udp.SyscallConn()
	if err != nil {
		return port
	}
	var refused error
	if err := raw.Control(func(fd uintptr) { refused = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1) }); err != nil || refused != nil {
		return port
	}
	c := &coalesced{UDPConn: udp, batch: ipv4.NewPacketConn(udp)}
	for range runsAtATime {
		c.runs = append(c.runs, ipv4.Message{Buffers: [][]byte{make([]byte, longestRun)}, OOB: make([]byte, controlRoom)})
	}
	c.runs = c.runs[:0]
	return c
}

// ReadBatch is ipv4.PacketConn's: it fills as many of these messages as there are packets at hand, and waits only for the first.
func (c *coalesced) ReadBatch(into []ipv4.Message, flags int) (int, error) {
	if c.next == len(c.runs) {
		c.runs, c.next, c.cut = c.runs[:cap(c.runs)][:runsAtATime], 0, 0
		n, err := c.batch.ReadBatch(c.runs, flags)
		c.runs = c.runs[:max(n, 0)]
		if err != nil {
			return 0, err
		}
	}
	filled := 0
	for filled < len(into) && c.next < len(c.runs) {
		run := &c.runs[c.next]
		end := run.N
		if size := segment(run.OOB[:run.NN]); size > 0 {
			end = min(end, c.cut+size)
		}
		packet := &into[filled]
		packet.N = copy(packet.Buffers[0], run.Buffers[0][c.cut:end])
		packet.NN = copy(packet.OOB, run.OOB[:run.NN])
		packet.Addr, packet.Flags = run.Addr, run.Flags
		filled++
		if c.cut = end; c.cut == run.N {
			c.next, c.cut = c.next+1, 0
		}
	}
	return filled, nil
}

// segment is the size of all packets of a run but the last, which may be shorter; 0: it is one packet.
func segment(control []byte) int {
	for len(control) > 0 {
		h, said, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return 0
		}
		if h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO && len(said) >= 4 {
			return int(binary.NativeEndian.Uint32(said))
		}
		control = rest
	}
	return 0
}
