package regen

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/zeebo/blake3"
)

// Other writers keep frames as files of their own beside the archive's, each in a multipart envelope, and nothing else has those pixels:
//
//	series/<UID>/instances/<UID>/frames/<n>.mht.gz      uncompressed syntaxes, today
//	series/<UID>/instances/<UID>/frames/<n>.mht         compressed ones
//	series/<UID>/instances/<UID>/frames/<n>.gz          the writer of 2021
//	series/<UID>/instances/<UID>/rendered/index.mp4     video
//	series/<UID>/instances/<UID>/index.mht.gz           the whole Part 10 file, for objects that this writer does not take for images
//
// They are published as other frames are, out of their envelopes.

// kept is a file of class other that has a frame in it.
type kept struct {
	held  dedup.Held
	print string // changes when the file does
}

const maxForeignFrames = 1 << 20

// foreignPixels finds the frames of an instance whose record refers to files of another writer's; nil when it has none of its own (a reference that leads elsewhere, or a whole
// Part 10 file in place of frames). Frames that should be there and are not make the study incomplete: they are a *missing.
func (s *study) foreignPixels(i *instance, tag dedup.Tag) (*pixelData, error) {
	dir := "series/" + i.series.String() + "/instances/" + i.sop.String() + "/"
	p := &pixelData{tag: tag}
	for _, name := range [...]string{"rendered/index.mp4", "rendered/index.mpg", "rendered/index.h265", "pixeldata", "pixeldata.gz"} {
		if f, err := s.kept(dir + name); err == nil {
			p.foreign, p.video = []kept{f}, true
			p.ext = ".bin"
			return p, nil
		}
	}
	count := min(max(i.number(tagFrames, 1), 1), maxForeignFrames)
	for n := range count {
		f, err := s.keptFrame(dir + "frames/" + strconv.FormatInt(n+1, 10))
		if errors.Is(err, fs.ErrNotExist) {
			return s.withoutFrames(dir, n)
		}
		if err != nil {
			return nil, err
		}
		p.foreign = append(p.foreign, f)
	}
	syntax, err := s.envelopeSyntax(p.foreign[0])
	if err != nil {
		return nil, err
	}
	if syntax != "" {
		i.syntax = syntax // of what is inside; the record may name what it was meant to be converted to
	}
	p.ext = ".bin"
	if uncompressed(i.syntax) {
		p.ext = ".raw"
		allocated := i.number(tagAllocated, 8)
		p.swap = i.syntax == explicitBig && allocated > 8
	}
	return p, nil
}

// missing is a file that is not here yet.
type missing struct{ ref dedup.Ref }

func (m missing) Error() string { return "missing: " + m.ref.String() }

// withoutFrames is what an instance is of which frame n, from 0, is not there.
func (s *study) withoutFrames(dir string, n int64) (*pixelData, error) {
	for _, name := range [...]string{"index.mht.gz", "index.mht"} {
		if _, err := s.kept(dir + name); err == nil && n == 0 {
			return nil, nil
		}
	}
	return nil, missing{dedup.Ref{Class: dedup.Other, Name: dir + "frames/" + strconv.FormatInt(n+1, 10) + ".mht"}}
}

// keptFrame finds a frame under the names that writers give it, the one whose envelope names its syntax first.
func (s *study) keptFrame(name string) (kept, error) {
	for _, ext := range [...]string{".mht.gz", ".mht", ".gz", "", ".jls", ".jpeg", ".jpg", ".jp2", ".j2k", ".jphc", ".jxl", ".dicom-rle"} {
		f, err := s.kept(name + ext)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	return kept{}, fs.ErrNotExist
}

// kept finds one file.
func (s *study) kept(name string) (kept, error) {
	held, _, err := s.folder.Find(dedup.Ref{Class: dedup.Other, Name: name})
	if err != nil {
		return kept{}, err
	}
	info, err := s.fs.Lstat(held.Path)
	if err != nil {
		return kept{}, err
	}
	h := blake3.New()
	_, _ = fmt.Fprintf(h, "%s %d", held.Path, info.Size())
	if stat, ok := statOf(info); ok {
		_, _ = fmt.Fprintf(h, " %d %d.%d", stat.Ino, stat.Ctim.Sec, stat.Ctim.Nsec)
	}
	return kept{held, hex.EncodeToString(h.Sum(nil)[:16])}, nil
}

// envelopeSyntax is the transfer syntax that the envelope of a frame names, "" if it names none.
func (s *study) envelopeSyntax(f kept) (string, error) {
	in, err := s.folder.OpenHeld(f.held, maxCurrent)
	if err != nil {
		return "", err
	}
	defer in.Close()
	_, mediaType, err := dedup.Unwrap(in)
	if err != nil {
		return "", err
	}
	for _, parameter := range strings.Split(mediaType, ";")[1:] {
		name, v, _ := strings.Cut(parameter, "=")
		if strings.EqualFold(strings.TrimSpace(name), "transfer-syntax") {
			u, _ := dedup.ParseUID(strings.Trim(strings.TrimSpace(v), `"`))
			return u.String(), nil
		}
	}
	return "", nil
}

// unwrapped opens a file of another writer's without its envelope.
func (s *study) unwrapped(h dedup.Held, swap bool) (io.ReadCloser, error) {
	in, err := s.folder.OpenHeld(h, maxCurrent)
	if err != nil {
		return nil, err
	}
	body, _, err := dedup.Unwrap(in)
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	if swap {
		body = &swapped{bufio.NewReader(body)}
	}
	return struct {
		io.Reader
		io.Closer
	}{body, in}, nil
}

// swapped turns round the two bytes of each word: frames are published little-endian.
type swapped struct{ r *bufio.Reader }

func (s *swapped) Read(b []byte) (int, error) {
	if len(b) < 2 {
		return s.r.Read(b) // who does not want whole words
	}
	n, err := io.ReadFull(s.r, b[:len(b)&^1])
	if err == io.ErrUnexpectedEOF {
		err = nil
	}
	for i := 1; i < n; i += 2 {
		b[i-1], b[i] = b[i], b[i-1]
	}
	return n, err
}

// uncompressed reports whether a syntax has its frames as they are.
func uncompressed(syntax string) bool {
	switch syntax {
	case "", "1.2.840.10008.1.2", explicitLittle, explicitBig, "1.2.840.10008.1.2.1.99", "1.2.840.113619.5.2":
		return true
	}
	return false
}

// foreignPlan are the frames of another writer's files.
func (s *study) foreignPlan(i *instance, dir string) []file {
	var files []file
	for n, f := range i.pixels.foreign {
		name := dir + "frames/" + strconv.Itoa(n+1)
		if i.pixels.video {
			name = dir + "pixeldata"
		}
		files = append(files, file{path: name, level: ofInstance, key: "other." + f.print,
			open: func() (io.ReadCloser, error) { return s.unwrapped(f.held, i.pixels.swap) }})
	}
	return files
}
