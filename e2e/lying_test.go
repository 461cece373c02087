package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/agent/mesh"
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/syncer/link"
	message "github.com/dicomesh/dicomesh/syncer/wire"
)

// A site that lies is this binary, run with the folder of a member: its links, its gossip and its key are those of an agent, and all that it says of studies is made up.
const (
	lyingSite    = "DICOMESH_E2E_LYING_SITE"
	lyingStudies = "DICOMESH_E2E_LYING_STUDIES" // UIDs, with commas: one for each lie
)

// liesTold are the lies, in the order of the studies of which they are told, and what the site that hears them blames the liar for.
var liesTold = []string{"a compressed file that is none", "name of a file", "more heads than were asked for", "expands beyond", "offers nothing", "was not to come whole"}

// Names that would leave the folders of the site that takes them, if anybody did.
const (
	lyingUp       = "../../../../../../dicomesh-lying-up.gz"
	lyingAbsolute = "/tmp/dicomesh-lying-absolute.gz"
)

// liar is a site that lies.
type liar struct {
	studies []dedup.UID
	links   *mesh.Mesh
	say     *json.Encoder
}

// confession is what a liar says of how it fared.
type confession struct {
	Aborted bool   // a control stream on which it talked rubbish was seen to have failed
	Why     string // what it saw
}

// runLying is the main function of a site that lies. It ends with its input.
func runLying(dir string) int {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	if err := lieAt(ctx, dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func lieAt(ctx context.Context, dir string) error {
	state, err := durable.OpenPrivate(filepath.Join(dir, "state"))
	if err != nil {
		return err
	}
	defer state.Close()
	l := &liar{say: json.NewEncoder(os.Stdout)}
	for name := range strings.SplitSeq(os.Getenv(lyingStudies), ",") {
		uid, err := dedup.ParseUID(name)
		if err != nil {
			return err
		}
		l.studies = append(l.studies, uid)
	}
	serve := func(do func(s *link.Stream, in *bufio.Reader) error) link.Service {
		return link.Service{Limit: 96, Serve: func(_ context.Context, s *link.Stream) { _ = do(s, bufio.NewReader(s)) }} // whoever hears a lie hangs up
	}
	l.links, err = mesh.Open(mesh.Config{State: state, Version: "test",
		Streams: map[link.Kind]link.Service{link.Control: serve(listens), link.Data: serve(l.answer), link.Data + 1: serve(l.give)},
		Listen:  func(address string) (net.PacketConn, error) { return net.ListenPacket("udp", address) },
		Linked: func(e link.Event) {
			if e.Kind == link.Up {
				go l.claim(ctx, e.Site)
			}
		}})
	if err != nil {
		return err
	}
	return l.links.Run(ctx)
}

// listens hears what a site says, and does not mind.
func listens(_ *link.Stream, in *bufio.Reader) error {
	_, err := io.Copy(io.Discard, in)
	return err
}

// state says that a study is all there.
func (l *liar) state(uid dedup.UID) message.StudyState {
	return message.StudyState{UID: uid, Leaf: dedup.Digest{7}, Flags: message.Complete, Change: 1}
}

// claim says to a site that every study is complete here, and goes on saying so; and on another stream it talks rubbish.
func (l *liar) claim(ctx context.Context, site string) {
	summary := message.Summary{Incarnation: "of a liar", Root: message.Sum{7}, Count: uint64(len(l.studies)), Change: 1}
	hint := &message.Changed{Summary: summary}
	for _, uid := range l.studies {
		hint.Studies = append(hint.Studies, l.state(uid))
	}
	control, err := l.links.Open(ctx, site, link.Control)
	if err != nil {
		return
	}
	defer control.Close()
	if _, err := control.Write(message.Append(message.Append(nil, &message.Hello{Summary: summary}), hint)); err != nil {
		return
	}
	l.rubbish(ctx, site)
	<-ctx.Done()
}

// rubbish is no message at all. The site that hears it gives up that stream, and whoever speaks on it is to see that.
func (l *liar) rubbish(ctx context.Context, site string) {
	s, err := l.links.Open(ctx, site, link.Control)
	if err != nil {
		return
	}
	defer s.Close()
	_ = s.SetDeadline(time.Now().Add(time.Minute))
	_, err = s.Write(bytes.Repeat([]byte{0xFF}, 64))
	if err == nil {
		_, err = s.Read(make([]byte, 1))
	}
	_ = l.say.Encode(confession{Aborted: err != nil && err != io.EOF && !errors.Is(err, os.ErrDeadlineExceeded), Why: fmt.Sprint(err)})
}

// answer answers questions: what differs, and what there is of a study, each time by another lie.
func (l *liar) answer(s *link.Stream, in *bufio.Reader) error {
	for {
		q, err := message.Read(in, message.MaxFrame)
		if err != nil {
			return err
		}
		answer := message.Append(nil, &message.States{Incarnation: "of a liar"})
		switch q := q.(type) {
		case *message.Compare:
			answer = message.Append(nil, l.compared(q))
		case *message.Describe:
			states := &message.States{Incarnation: "of a liar"}
			for _, uid := range l.studies {
				if slices.Contains(q.Keys, message.Key(index.KeyOf(uid))) {
					states.Studies = append(states.Studies, l.state(uid))
				}
			}
			answer = message.Append(nil, states)
		case *message.Heads:
			if answer = l.offer(q); slices.Index(l.studies, q.Study) == 2 {
				for err == nil { // without end
					_, err = s.Write(answer)
				}
				return err
			}
		}
		if _, err := s.Write(answer); err != nil {
			return err
		}
	}
}

// compared says of whatever place it is asked about first that all studies are there, and held otherwise.
func (l *liar) compared(q *message.Compare) *message.Compared {
	below := message.Below{Prefix: q.Nodes[0].Prefix, Listed: true}
	for _, uid := range l.studies {
		below.Items = append(below.Items, message.Item{Key: message.Key(index.KeyOf(uid)), Hash: [8]byte{7}})
	}
	slices.SortFunc(below.Items, func(a, b message.Item) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	return &message.Compared{Below: []message.Below{below}}
}

// offer is what the liar says that it has of a study.
func (l *liar) offer(q *message.Heads) []byte {
	m := &message.HeadsOf{State: l.state(q.Study)}
	n, lie := 1, slices.Index(l.studies, q.Study)
	switch lie {
	case 2:
		n, m.More = 4000, true
	case 4:
		n = 0
	}
	for i := range n {
		m.Heads = append(m.Heads, message.Head{Ref: dedup.Ref{Class: dedup.Instance, Name: fmt.Sprintf("1.2.3.4.5.6.7.%d", i)}, Digest: dedup.Digest{1, byte(i), byte(i >> 8)}, Disk: 100, Leaf: true})
	}
	if lie != 1 {
		return message.Append(nil, m)
	}
	var frames []byte
	for i, bad := range []string{lyingUp, lyingAbsolute} {
		stands := strings.Repeat("q", len(bad)) // of the same length
		ref, err := dedup.ParseRef(stands)
		if err != nil {
			return nil
		}
		m.Heads, m.More = []message.Head{{Ref: ref, Digest: dedup.Digest{byte(i)}, Disk: 100, Leaf: true}}, i == 0
		frames = append(frames, bytes.Replace(message.Append(nil, m), []byte(stands), []byte(bad), 1)...)
	}
	return frames
}

// bomb is little that expands to much, as dicomesh's own writer does not make it.
func bomb() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for range 64 {
		_, _ = z.Write(make([]byte, 1<<20))
	}
	_ = z.Close() // into memory
	return b.Bytes()
}

// give gives files: other bytes than were offered, a bomb, a body that has no end.
func (l *liar) give(s *link.Stream, in *bufio.Reader) error {
	m, err := message.Read(in, message.MaxFrame)
	f, is := m.(*message.Fetch)
	if err != nil || !is {
		return err
	}
	body := bytes.Repeat([]byte{7}, 1<<20)
	header := &message.FileHeader{Status: message.Here, Size: uint64(len(body)), Length: uint64(len(body))}
	switch slices.Index(l.studies, f.Study) {
	case 3:
		body = bomb()
		header.Size, header.Length = uint64(len(body)), uint64(len(body))
	case 5:
		header.Size, header.Length = 1<<50, 1<<50
	}
	_, err = s.Write(message.Append(nil, header))
	for err == nil { // it never comes to its end
		_, err = s.Write(body)
	}
	return err
}
