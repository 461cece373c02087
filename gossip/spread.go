package gossip

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/hashicorp/memberlist"
)

// A message between sites is a topic's name with its length (one byte), and a change. A full exchange is, for each topic: its name with its length, and its
// state with its length (a uvarint). Topics that are not known are passed over.

// delegate gives memberlist what it is to carry for us. It is called with memberlist's locks held, so it calls nothing of memberlist.
type delegate struct {
	members *members
	topics  map[string]Topic
	queue   *memberlist.TransmitLimitedQueue
	tell    func(message []byte) // passes news on
}

// NodeMeta implements memberlist.Delegate.
func (d *delegate) NodeMeta(limit int) []byte {
	b, err := d.members.ownMeta().encode()
	if err != nil || len(b) > limit {
		return nil
	}
	return b
}

// NotifyMsg implements memberlist.Delegate.
func (d *delegate) NotifyMsg(message []byte) {
	name, change, ok := cutTopic(message)
	if !ok || len(change) > MaxPayload {
		return
	}
	topic, known := d.topics[name]
	if known && topic.Merge != nil && topic.Merge(slices.Clone(change)) {
		d.tell(slices.Clone(message))
	}
}

// GetBroadcasts implements memberlist.Delegate.
func (d *delegate) GetBroadcasts(overhead, limit int) [][]byte {
	return d.queue.GetBroadcasts(overhead, limit)
}

// LocalState implements memberlist.Delegate: all that this site knows.
func (d *delegate) LocalState(bool) []byte {
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(d.topics)) {
		if d.topics[name].State == nil {
			continue
		}
		if state := d.topics[name].State(); len(state) <= MaxPayload {
			b = append(append(b, byte(len(name))), name...)
			b = append(binary.AppendUvarint(b, uint64(len(state))), state...)
		}
	}
	return b
}

// MergeRemoteState implements memberlist.Delegate. What was new is not passed on: those who should know exchange their states as well.
func (d *delegate) MergeRemoteState(b []byte, _ bool) {
	for len(b) > 0 {
		name, rest, ok := cutTopic(b)
		n, k := binary.Uvarint(rest)
		if !ok || k <= 0 || n > MaxPayload || n > uint64(len(rest)-k) {
			return
		}
		if topic, known := d.topics[name]; known && topic.Merge != nil {
			topic.Merge(slices.Clone(rest[k : k+int(n)]))
		}
		b = rest[k+int(n):]
	}
}

// cutTopic takes a topic's name off the front.
func cutTopic(b []byte) (name string, rest []byte, ok bool) {
	if len(b) == 0 || b[0] == 0 || b[0] > MaxName || int(b[0]) > len(b)-1 {
		return "", nil, false
	}
	n := int(b[0])
	return string(b[1 : 1+n]), b[1+n:], true
}

func messageOf(topic string, change []byte) []byte {
	return append(append([]byte{byte(len(topic))}, topic...), change...)
}

// rumour is a message on its way in packets. Each is sent to a few sites drawn at random, a few times.
type rumour []byte

// Invalidates implements memberlist.Broadcast.
func (rumour) Invalidates(memberlist.Broadcast) bool { return false }

// Message implements memberlist.Broadcast.
func (r rumour) Message() []byte { return r }

// Finished implements memberlist.Broadcast.
func (rumour) Finished() {}

// UniqueBroadcast implements memberlist.UniqueBroadcast: no rumour makes another one old.
func (rumour) UniqueBroadcast() {}
