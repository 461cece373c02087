package link

import (
	"bytes"
	"encoding/binary"
	"net"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// TestCoalesced: what was sent as runs of packets, and as single ones, is read as the packets that they were, in order, whatever the number that is asked for
// at a time; and the kernel did hand over runs.
func TestCoalesced(t *testing.T) {
	from, to := udpPort(t), udpPort(t)
	port, is := coalesce(to).(*coalesced)
	if !is {
		t.Skip("this kernel does not coalesce")
	}
	if err := to.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	var sent [][]byte
	for n, shape := range []struct{ size, packets, last int }{{1200, 9, 700}, {900, 1, 900}, {1452, 44, 1452}, {64, 3, 1}, {0, 1, 0}} {
		var run []byte
		for i := range shape.packets {
			packet := bytes.Repeat([]byte{byte(100*n + i)}, shape.size)
			if i == shape.packets-1 {
				packet = packet[:shape.last]
			}
			sent, run = append(sent, packet), append(run, packet...)
		}
		if _, _, err := from.WriteMsgUDP(run, cutBy(shape.size), to.LocalAddr().(*net.UDPAddr)); err != nil {
			t.Fatal(err)
		}
	}
	longest := 0
	for at := 0; at < len(sent); {
		into := make([]ipv4.Message, 1+at%8)
		for i := range into {
			into[i] = ipv4.Message{Buffers: [][]byte{make([]byte, 1500)}, OOB: make([]byte, controlRoom)}
		}
		n, err := port.ReadBatch(into, 0)
		if err != nil {
			t.Fatalf("after %d of %d packets: %v", at, len(sent), err)
		}
		for _, m := range into[:n] {
			if at == len(sent) || !bytes.Equal(m.Buffers[0][:m.N], sent[at]) || m.Addr.String() != from.LocalAddr().String() {
				t.Fatalf("packet %d is %d bytes of %v, from %v", at, m.N, m.Buffers[0][:min(m.N, 1)], m.Addr)
			}
			at++
		}
		for _, r := range port.runs {
			longest = max(longest, r.N)
		}
	}
	if longest < 40*1452 {
		t.Errorf("the longest run had %d bytes", longest)
	}
}

func udpPort(t *testing.T) *net.UDPConn {
	port, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = port.Close() })
	return port
}

// cutBy has the kernel cut what is written into packets of a size.
func cutBy(size int) []byte {
	if size == 0 {
		return nil
	}
	control := make([]byte, unix.CmsgSpace(2))
	binary.NativeEndian.PutUint64(control, uint64(unix.CmsgLen(2)))
	binary.NativeEndian.PutUint32(control[8:], unix.IPPROTO_UDP)
	binary.NativeEndian.PutUint32(control[12:], unix.UDP_SEGMENT)
	binary.NativeEndian.PutUint16(control[unix.CmsgLen(0):], uint16(size))
	return control
}
