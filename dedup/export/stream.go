package export

import (
	"fmt"
	"io/fs"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/part10"
)

// Study is a study at one moment, of which files are made one by one, for whoever streams them and holds none.
type Study struct {
	// Leaf is the digest of the study's leaves (dedup.LeafDigest); of a study that was read of objects it is not theirs.
	Leaf dedup.Digest

	study study
}

// Open reads a study's lists and instance files, as they are now.
func (a *Archive) Open(uid dedup.UID) (*Study, error) {
	s, err := a.open(uid)
	if err != nil {
		return nil, err
	}
	return &Study{dedup.LeafDigest(s.state.Leaves), *s}, nil
}

// Of is a study as objects tell it: all of those of its leaves, as one list (deduplicated.gz of the current tree). Values and frames are the archive's, which keeps those of all that it had.
func (a *Archive) Of(uid dedup.UID, objects []dedup.Object) (*Study, error) {
	folder, err := a.tree.Study(uid)
	if err != nil {
		return nil, err
	}
	text := []byte{'['}
	for _, o := range objects {
		if _, d := dedup.Split(o); d.Type == dedup.TypeInfo {
			continue // it stands for files, and these objects are no file of the archive
		}
		if len(text) > 1 {
			text = append(text, ',')
		}
		text = o.AppendJSON(text)
	}
	f := dedup.ParseFile(dedup.Ref{Class: dedup.List, Name: "objects"}, append(text, ']'))
	if f.Fault != nil {
		return nil, fmt.Errorf("study %s: %w", uid, f.Fault)
	}
	source := Source{a.fs, folder}
	return &Study{study: study{uid, dedup.Resolve([]dedup.File{f}, source), source}}, nil
}

// Instances are those that the study shows, in order of their UIDs.
func (s *Study) Instances() []dedup.SOPInstance {
	var out []dedup.SOPInstance
	for _, i := range s.study.state.Instances {
		if !i.Deleted {
			out = append(out, i)
		}
	}
	return out
}

// Instance is one of them; fs.ErrNotExist.
func (s *Study) Instance(sop dedup.UID) (dedup.SOPInstance, error) {
	i, ok := s.study.state.Instance(sop)
	if !ok || i.Deleted {
		return i, fmt.Errorf("instance %s: %w", sop, fs.ErrNotExist)
	}
	return i, nil
}

const (
	tagSyntax      dedup.Tag = 0x00020010
	tagAvailable   dedup.Tag = 0x00083002
	explicitLittle           = "1.2.840.10008.1.2.1"
)

// Syntax is the transfer syntax of the file that File makes.
func (s *Study) Syntax(i dedup.SOPInstance) (string, error) {
	d := i.Records[0].Dedup
	if len(d.Encoding) == 0 || d.Encoding[0].IsZero() { // another writer's, who may have said it in the record
		if own := s.study.state.Merge(i.Records[0]).Text(tagAvailable); own != "" {
			return own, nil
		}
		return explicitLittle, nil
	}
	o, err := s.study.source.Object(d.Encoding[0])
	if err != nil {
		return "", err
	}
	return o.Text(tagSyntax), nil
}

// File readies an instance's file: of its encodings the one that is shown. It is what came in, byte for byte, unless a correction has touched it or nobody knows what came in. A file whose
// residue cannot be had is an error that satisfies errors.Is(err, part10.ErrNotExact), with the file beside it.
func (s *Study) File(i dedup.SOPInstance) (*part10.Rebuilt, error) {
	r := i.Records[0]
	return part10.Rebuild(s.study.state.Merge(r), r.Dedup, s.study.source)
}
