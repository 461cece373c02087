package regen

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/export"
	"github.com/zeebo/blake3"
	"golang.org/x/sys/unix"
)

// maxHead is the largest list or instance file that is read, decompressed.
const maxHead = 1 << 30

// study is one study of the archive as a round sees it.
type study struct {
	uid    dedup.UID
	fs     durable.Reader
	folder dedup.Folder
	source source
	known  *remembrance
	heads  []dedup.Held
	stamps []stamp // of heads
	print  string  // fingerprint of heads
	read   []*head // heads
	state  *dedup.State
	leaves dedup.Digest

	syntaxes  map[dedup.Hash]string       // by encoding object
	objects   map[dedup.Hash]dedup.Object // bulkdata that objects refer to, without its block
	all       []*instance                 // the live ones that have a place, in order of series and SOP
	digests   map[dedup.UID]dedup.Digest  // of what the files of each series are made from
	placeless int
}

// instance is what a study shows of one instance.
type instance struct {
	sop, series dedup.UID
	record      dedup.Record
	merged      dedup.Object
	syntax      string // the transfer syntax of its frames as they are served
	pixels      *pixelData
	bulk        []dedup.Ref // bulkdata that merged refers to, in order; its frames are not among it
	joined      []joined    // values that the archive has in pieces
}

// look finds a study's lists and instance files and does not read them. fs.ErrNotExist says that there are none.
func (g *Generator) look(uid dedup.UID) (s *study, err error) {
	for range attempts {
		if s, err = g.list(uid); err != nil {
			return nil, err
		}
		if err = s.fingerprint(); !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
	}
	return nil, fmt.Errorf("its files come and go too fast: %v", err) // no fs.ErrNotExist: the study is there
}

func (g *Generator) list(uid dedup.UID) (*study, error) {
	folder, err := g.tree.Study(uid)
	if err != nil {
		return nil, err
	}
	s := &study{uid: uid, fs: g.config.Archive, folder: folder, syntaxes: make(map[dedup.Hash]string), objects: make(map[dedup.Hash]dedup.Object), digests: make(map[dedup.UID]dedup.Digest)}
	if s.heads, err = folder.Heads(); err != nil {
		return nil, err
	}
	if len(s.heads) == 0 {
		return nil, fmt.Errorf("no list and no instance file: %w", fs.ErrNotExist)
	}
	return s, nil
}

// fingerprint makes a digest of which files there are, and of what the file system says of each. It is "" where the file system does not say that; then the
// files are read.
func (s *study) fingerprint() error {
	h, all := blake3.New(), true
	s.stamps = make([]stamp, len(s.heads))
	for n, held := range s.heads {
		info, err := s.fs.Lstat(held.Path)
		if err != nil {
			return err
		}
		stat, ok := statOf(info)
		if !ok {
			all = false
			continue
		}
		s.stamps[n] = stampOf(stat)
		_, _ = fmt.Fprintf(h, "%s %d %d %d.%d\n", held.Path, stat.Ino, stat.Size, stat.Ctim.Sec, stat.Ctim.Nsec)
	}
	if all {
		s.print = hex.EncodeToString(h.Sum(nil)[:16])
	}
	return nil
}

// statOf is what the file system says of a file; false where it says nothing.
func statOf(info fs.FileInfo) (*unix.Stat_t, bool) {
	stat, ok := info.Sys().(*unix.Stat_t)
	return stat, ok
}

// resolve reads the files, or remembers them, and finds out what the study is.
func (s *study) resolve(known *remembrance) error {
	s.known = known
	s.source = source{export.NewSource(s.fs, s.folder), known.objects}
	heads, files := make(map[string]*head, len(s.heads)), make([]dedup.File, len(s.heads))
	for n, h := range s.heads {
		f, err := known.read(s.folder, h, s.stamps[n])
		if err != nil {
			return err
		}
		heads[h.Path], files[n] = f, f.file
		s.read = append(s.read, f)
	}
	known.replace(heads)
	s.state = dedup.Resolve(files, s.source)
	s.leaves = dedup.LeafDigest(s.state.Leaves)
	return nil
}

// complete is nil, or an *Incomplete.
func (s *study) complete() error {
	if s.state.Complete() {
		return nil
	}
	missing := &Incomplete{Faults: s.state.Faults}
	for _, i := range s.state.Instances {
		missing.Missing = append(missing.Missing, i.Missing...)
	}
	slices.SortFunc(missing.Missing, dedup.Ref.Compare)
	missing.Missing = slices.Compact(missing.Missing)
	return missing
}

// load fills in the instances.
func (s *study) load() error {
	absent := &Incomplete{}
	for _, shown := range s.state.Instances {
		if shown.Deleted {
			continue
		}
		if shown.Series == (dedup.UID{}) || shown.SOP == (dedup.UID{}) {
			s.placeless++
			continue
		}
		i, err := s.instance(shown)
		if m := (missing{}); errors.As(err, &m) {
			absent.Missing = append(absent.Missing, m.ref)
			continue
		}
		if err != nil {
			return fmt.Errorf("instance %s: %w", shown.SOP, err)
		}
		s.all = append(s.all, i)
	}
	if len(absent.Missing) > 0 {
		return absent
	}
	slices.SortStableFunc(s.all, func(a, b *instance) int { return a.series.Compare(b.series) }) // SOPs are in order already
	return nil
}

func (s *study) instance(shown dedup.SOPInstance) (*instance, error) {
	r := shown.Records[0]
	i := &instance{sop: shown.SOP, series: shown.Series, record: r, merged: s.state.Merge(r)}
	var err error
	if i.syntax, err = s.syntax(i); err != nil {
		return nil, err
	}
	if i.pixels, err = s.findPixels(i); err != nil {
		return nil, err
	}
	if i.pixels != nil && i.pixels.native() {
		i.syntax = explicitLittle
	}
	i.bulk, err = s.references(i)
	return i, err
}

const (
	explicitLittle            = "1.2.840.10008.1.2.1"
	explicitBig               = "1.2.840.10008.1.2.2"
	tagSyntax       dedup.Tag = 0x00020010
	tagAvailable    dedup.Tag = 0x00083002
	tagStudyUID     dedup.Tag = 0x0020000D
	tagSeriesUID    dedup.Tag = 0x0020000E
	tagSOPUID       dedup.Tag = 0x00080018
	tagSOPClass     dedup.Tag = 0x00080016
	tagModality     dedup.Tag = 0x00080060
	tagInstance     dedup.Tag = 0x00200013
	tagPixelData    dedup.Tag = 0x7FE00010
	tagFloatPixels  dedup.Tag = 0x7FE00008
	tagDoublePixels dedup.Tag = 0x7FE00009
)

// syntax is the transfer syntax of the file that came in; another writer's record may say it itself.
func (s *study) syntax(i *instance) (string, error) {
	if d := i.record.Dedup; len(d.Encoding) > 0 && !d.Encoding[0].IsZero() {
		if known, ok := s.syntaxes[d.Encoding[0]]; ok {
			return known, nil
		}
		o, err := s.source.Object(d.Encoding[0])
		if err != nil {
			return "", err
		}
		s.syntaxes[d.Encoding[0]] = o.Text(tagSyntax)
		return o.Text(tagSyntax), nil
	}
	if own := i.merged.Text(tagAvailable); own != "" {
		return own, nil
	}
	return explicitLittle, nil
}

// references are the bulkdata files that an instance's JSON refers to, at any depth, but its frames.
func (s *study) references(i *instance) ([]dedup.Ref, error) {
	var rest dedup.Object
	for _, e := range i.merged {
		if !(i.pixels != nil && e.Tag == i.pixels.tag) && refers(e.JSON) {
			rest = append(rest, e)
			i.joined = s.findJoined(i.joined, e, 0)
		}
	}
	refs := dedup.References(rest)
	for n := 0; n < len(refs); n++ {
		if refs[n].Ext != ".json.gz" {
			continue
		}
		o, err := s.object(refs[n].Hash())
		if err != nil {
			return nil, err
		}
		for _, inner := range dedup.References(o) {
			if !slices.Contains(refs, inner) {
				refs = append(refs, inner)
			}
		}
	}
	slices.SortFunc(refs, dedup.Ref.Compare)
	return refs, nil
}

// refers is a quick look for keys that only some attributes have.
func refers(json []byte) bool {
	return bytes.Contains(json, []byte(`"BulkDataURI"`)) || bytes.Contains(json, []byte(`"Fragments"`))
}

// object is an object in bulkdata without its block.
func (s *study) object(h dedup.Hash) (dedup.Object, error) {
	if o, ok := s.objects[h]; ok {
		return o, nil
	}
	o, err := s.source.Object(h)
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", h, err)
	}
	content, _ := dedup.Split(o)
	s.objects[h] = content
	return content, nil
}

// series are the instances of each series, in order.
func (s *study) series() [][]*instance {
	var out [][]*instance
	for _, i := range s.all {
		if n := len(out); n > 0 && out[n-1][0].series == i.series {
			out[n-1] = append(out[n-1], i)
		} else {
			out = append(out, []*instance{i})
		}
	}
	return out
}

// pixelData is an instance's root Pixel Data.
type pixelData struct {
	tag    dedup.Tag
	frames []dedup.Ref
	ext    string
	video  bool

	foreign []kept // in place of frames: the files of another writer
	swap    bool   // whose words are big-endian
}

// native reports whether the frames are uncompressed.
func (p *pixelData) native() bool { return p.ext == ".raw" }

// findPixels finds the frames of an instance, nil if it has none.
func (s *study) findPixels(i *instance) (*pixelData, error) {
	for _, tag := range [...]dedup.Tag{tagPixelData, tagFloatPixels, tagDoublePixels} {
		e, ok := i.merged.Find(tag)
		if !ok {
			continue
		}
		a, err := e.Attribute()
		if err != nil {
			return nil, err
		}
		if len(a.Fragments) > 0 {
			return &pixelData{tag: tag, frames: fragments(a), ext: a.Ext, video: strings.HasSuffix(a.BulkDataURI, "/pixeldata")}, nil
		}
		if _, elsewhere := dedup.ParseBulkURI(a.BulkDataURI); a.Fragments == nil && a.BulkDataURI != "" && elsewhere != nil {
			return s.foreignPixels(i, tag)
		}
	}
	return nil, nil
}

// fragments are the bulkdata files of an attribute with Fragments.
func fragments(a dedup.Attribute) []dedup.Ref {
	out := make([]dedup.Ref, len(a.Fragments))
	for i, h := range a.Fragments {
		out[i] = dedup.Ref{Class: dedup.Bulkdata, Name: h.String(), Ext: a.Ext}
		if i < len(a.Streams) {
			out[i].Stream = a.Streams[i]
		}
	}
	return out
}
