package regen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// stage compares every file of a plan with what is there and stages those that differ. The record becomes that of the plan.
func (p *place) stage(ctx context.Context, s *study, plan []file, res *Result) error {
	old := p.record
	p.record = newRecord()
	p.noteObstacles(plan)
	for _, f := range plan {
		if err := ctx.Err(); err != nil {
			return err
		}
		was, known := old.files[f.path]
		if known && was.key == f.key && p.has(f.path, was.size) {
			p.record.files[f.path] = was
			continue
		}
		size, err := p.stageFile(s, f, f.sealed && was.key != "" && was.key != f.key, res)
		if err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
		p.record.files[f.path] = remembered{f.key, size}
	}
	for name := range p.present {
		if _, wanted := p.record.files[name]; !wanted {
			p.record.gone[name] = old.gone[name]
		}
	}
	return nil
}

func (p *place) has(name string, size int64) bool {
	have, there := p.present[name]
	return there && have == size
}

// stageFile stages one file unless what is there is the same, which need not be looked at when it is known to differ. It returns the size on disk.
func (p *place) stageFile(s *study, f file, differs bool, res *Result) (int64, error) {
	open, err := s.opener(f)
	if err != nil {
		return 0, err
	}
	size, there := p.present[f.path]
	if there && !differs {
		same, err := p.same(f, open)
		if err != nil {
			return 0, err
		}
		if same {
			return size, nil
		}
	}
	temp := p.temp()
	if size, err = p.write(temp, f, open); err != nil {
		return 0, errors.Join(err, p.dropTemp(temp))
	}
	p.staged[f.level] = append(p.staged[f.level], stagedFile{temp, path.Join(p.root, f.path)})
	if there {
		p.noteReplaced(f.path)
	}
	res.Wrote++
	res.Bytes += size
	return size, nil
}

// noteReplaced notes whose frame is replaced: series/<UID>/instances/<UID>/frames/<n>, or pixeldata.
func (p *place) noteReplaced(name string) {
	parts := strings.Split(name, "/")
	if len(parts) > 4 && (parts[4] == "frames" || parts[4] == "pixeldata") && !slices.Contains(p.replacing, parts[3]) {
		p.replacing = append(p.replacing, parts[3])
	}
}

func (p *place) dropTemp(temp string) error {
	if err := p.fs.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// contentOf is where a file's content comes from.
type contentOf struct {
	data  []byte                        // all of it, or
	open  func() (io.ReadCloser, error) // a way to read it
	share string                        // not "": the file of the archive that has these very bytes
}

// opener finds a file's content.
func (s *study) opener(f file) (contentOf, error) {
	if f.content != nil {
		data, err := f.content()
		return contentOf{data: data}, err
	}
	if f.open != nil {
		return contentOf{open: f.open}, nil
	}
	held, _, err := s.folder.Find(f.ref)
	if err != nil {
		return contentOf{}, err
	}
	if enveloped(held.Ref) {
		return contentOf{open: func() (io.ReadCloser, error) { return s.unwrapped(held, false) }}, nil
	}
	c := contentOf{open: func() (io.ReadCloser, error) { return s.folder.OpenHeld(held, maxCurrent) }}
	if strings.HasSuffix(held.Path, ".gz") == f.gzipped() {
		c.share = held.Path
	}
	return c, nil
}

// enveloped reports whether a value of that name stands in an envelope: other writers give those no extension.
func enveloped(r dedup.Ref) bool { return r.Ext == "" || r.Ext == ".gz" }

// same reports whether the file that is there has the content, decompressed. A damaged one has not.
func (p *place) same(f file, c contentOf) (bool, error) {
	name := path.Join(p.root, f.path)
	if c.open == nil {
		have, err := p.read(name, f.gzipped(), len(c.data))
		return err == nil && bytes.Equal(have, c.data), nil
	}
	want, err := c.open()
	if err != nil {
		return false, err
	}
	defer want.Close()
	if f.gzipped() {
		all, err := io.ReadAll(want)
		if err != nil {
			return false, err
		}
		have, err := p.read(name, true, len(all))
		return err == nil && bytes.Equal(have, all), nil
	}
	have, err := p.fs.Open(name)
	if err != nil {
		return false, nil
	}
	defer have.Close()
	return equal(have, want)
}

// read reads a file that is there and should have so many bytes; of a longer one it reads one more.
func (p *place) read(name string, gzipped bool, size int) ([]byte, error) {
	limit := int64(size) + 1
	if gzipped {
		return readGzip(p.fs, name, limit)
	}
	f, err := p.fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

// equal compares two streams. The error is that of want.
func equal(have, want io.Reader) (bool, error) {
	a, b := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(want, a)
		end := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !end {
			return false, err
		}
		m, err := io.ReadFull(have, b)
		if n != m || !bytes.Equal(a[:n], b[:m]) || err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return false, nil
		}
		if end {
			return true, nil
		}
	}
}

// write makes a staged file.
func (p *place) write(temp string, f file, c contentOf) (int64, error) {
	if c.share != "" && p.config.Share != nil {
		if p.config.Share(c.share, temp) == nil {
			info, err := p.fs.Lstat(temp)
			if err != nil {
				return 0, err
			}
			return info.Size(), nil
		}
		if err := p.dropTemp(temp); err != nil {
			return 0, err
		}
	}
	if c.open == nil {
		data := c.data
		if f.gzipped() {
			data = p.zip.Append(nil, data)
		}
		return p.create(temp, bytes.NewReader(data))
	}
	in, err := c.open()
	if err != nil {
		return 0, err
	}
	defer in.Close()
	if !f.gzipped() {
		return p.create(temp, in)
	}
	data, err := io.ReadAll(in)
	if err != nil {
		return 0, err
	}
	return p.create(temp, bytes.NewReader(p.zip.Append(nil, data)))
}

func (p *place) create(temp string, content io.Reader) (int64, error) {
	out, err := p.fs.Create(temp)
	if err != nil {
		return 0, err
	}
	if p.buffer == nil {
		p.buffer = make([]byte, 128<<10)
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{content}, p.buffer)
	return n, errors.Join(err, out.Close())
}

// publish gives what was staged its names, one level after the other, each durable before the next. sameRecord says that the record was made of the same.
func (p *place) publish(now time.Time, sameRecord bool, res *Result) error {
	if err := p.clear(); err != nil {
		return err
	}
	for name, since := range p.record.gone {
		if since.IsZero() {
			p.record.gone[name] = now
			res.Removed++
		}
	}
	due := p.due(now, res)
	if !res.Changed() && sameRecord && len(due) == 0 {
		return nil
	}
	if !res.Changed() {
		// Nothing that a reader sees differs, so the record may as well be replaced in one step.
		if err := p.stageRecord(due); err != nil {
			return err
		}
		return errors.Join(p.show(recordLevel), p.remove(due))
	}
	parents := p.parents()
	if err := p.dropTemp(p.name); err != nil {
		return err
	}
	if err := p.warn(res.Study); err != nil {
		return err
	}
	if err := p.stageRecord(append(slices.Clone(parents), due...)); err != nil {
		return err
	}
	return p.showAll(parents, due)
}

// showAll syncs what was staged, and the removal of the old record, and names the files.
func (p *place) showAll(parents, due []string) error {
	if err := p.barrier.SyncAll(); err != nil {
		return err
	}
	for l := range recordLevel {
		if err := p.show(l); err != nil {
			return err
		}
	}
	// One after the other, the status first: no parent is there without what it speaks of, also after a crash.
	for _, name := range parents {
		if err := p.remove([]string{name}); err != nil {
			return err
		}
		if err := p.barrier.SyncAll(); err != nil {
			return err
		}
	}
	if err := p.remove(due); err != nil {
		return err
	}
	return p.show(recordLevel)
}

// parents are the files about the whole study when it has no instance any more: they go at once, before what they refer to, the status first.
func (p *place) parents() []string {
	var now []string
	for _, name := range sortedKeys(p.record.gone) {
		switch {
		case name == statusName:
			now = slices.Insert(now, 0, name)
		case !strings.Contains(name, "/"):
			now = append(now, name)
		}
	}
	return now
}

// show names the files of one level and makes the names durable.
func (p *place) show(l level) error {
	if len(p.staged[l]) == 0 {
		return nil
	}
	for len(p.staged[l]) > 0 {
		f := p.staged[l][0]
		err := p.fs.Replace(f.temp, f.name)
		if errors.Is(err, fs.ErrNotExist) {
			if err = durable.MkdirAll(p.fs, path.Dir(f.name)); err == nil {
				err = p.fs.Replace(f.temp, f.name)
			}
		}
		if err != nil {
			return err
		}
		p.staged[l] = p.staged[l][1:]
	}
	return p.barrier.SyncAll()
}

// stageRecord stages the record without what is removed now.
func (p *place) stageRecord(removed []string) error {
	for _, name := range removed {
		delete(p.record.gone, name)
	}
	return p.stageOwn(recordLevel, p.name, p.record.text())
}

// stageOwn stages a small file that is no part of the plan.
func (p *place) stageOwn(l level, name string, text []byte) error {
	temp := p.temp()
	if _, err := p.create(temp, bytes.NewReader(p.zip.Append(nil, text))); err != nil {
		return errors.Join(err, p.dropTemp(temp))
	}
	p.staged[l] = append(p.staged[l], stagedFile{temp, name})
	return nil
}
