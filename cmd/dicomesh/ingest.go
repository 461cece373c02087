package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/ingest"
)

// ingestCommand puts Part 10 files into a tree.
type ingestCommand struct {
	Tree    string   `required:"" placeholder:"DIR" help:"The archive; made if it is not there."`
	Paths   []string `arg:"" name:"path" help:"Part 10 files, or folders of them."`
	Workers int      `default:"2" help:"Files that are taken apart at the same time (${default})."`
	Verbose bool     `short:"v" help:"A line for each file, not only for those that were refused or are in conflict."`
	JSON    bool     `help:"One line of JSON for each file."`
}

// Help is shown by dicomesh ingest --help.
func (ingestCommand) Help() string {
	return `Each file is taken apart, put together again from what was written, compared byte for byte, and made durable before it is called stored. The files
themselves are left alone. Several processes may ingest into one tree.

    stored     it is new
    duplicate  its content was here: the same file, another encoding of it, or
               deleted before
    conflict   another content was here under its SOP Instance UID; both are
               kept
    refused    it is not sound DICOM, or could not be stored; nothing of it is
               in the tree

Exit code 1 if any file was refused.

Examples:

    dicomesh ingest --tree archive samples
    dicomesh ingest --tree archive --json scan1.dcm scan2.dcm`
}

// Run ingests what the paths name.
func (c *ingestCommand) Run(ctx context.Context, t *terminal) error {
	odd := 0
	files, err := regularFiles(c.Paths, &odd)
	if err != nil {
		return fault{code: exitUsage, err: err, next: "see: dicomesh ingest --help"}
	}
	total := int64(0)
	if !c.JSON {
		total = sizeOf(c.Paths)
	}
	fsys, err := openTree(c.Tree)
	if err != nil {
		return err
	}
	defer fsys.Close()
	archive, err := ingest.Open(fsys)
	if err != nil {
		return fault{code: exitFault, err: fmt.Errorf("%s: %w", c.Tree, err), next: "write there as the user who owns it, or name a folder that can be written with --tree DIR"}
	}
	defer archive.Close()
	say := &ingestReport{command: c, terminal: t, odd: &odd, bar: t.progress("ingesting", total)}
	err = archive.Run(ctx, ingest.Config{Workers: c.Workers, SHA256: c.JSON}, files, say.file)
	say.bar.finish()
	tellAgent(ctx, t, c.Tree, slices.Collect(maps.Keys(say.studies)))
	if err != nil {
		return err
	}
	return say.summary()
}

// openTree opens the archive in a folder, making the folder.
func openTree(dir string) (*durable.OS, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fault{code: exitFault, err: err, next: "name a folder that can be written with --tree DIR"}
	}
	fsys, err := durable.OpenOS(dir)
	if err != nil {
		return nil, fault{code: exitFault, err: err, next: "name a folder with --tree DIR"}
	}
	return fsys, nil
}

// regularFiles are the files that the paths name, folders being walked in order. A path that is not there is an error before anything happens; what
// vanishes later is a refused file. Of what is no file (a symbolic link in a folder, a device) only the number is told.
func regularFiles(paths []string, odd *int) (iter.Seq[string], error) {
	for _, p := range paths {
		if _, err := os.Stat(p); err != nil {
			return nil, err
		}
	}
	return func(yield func(string) bool) { walk(paths, yield, odd) }, nil
}

// sizeOf is how many bytes the files have together, for whoever watches the progress: it asks for each.
func sizeOf(paths []string) (total int64) {
	walk(paths, func(p string) bool {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return true
	}, new(int))
	return total
}

// walk calls visit for each regular file until it has had enough, and counts what it left out. Files that the paths name themselves may be reached through symbolic links.
func walk(paths []string, visit func(string) bool, odd *int) {
	enough := errors.New("enough")
	for _, root := range paths {
		info, err := os.Stat(root)
		if err != nil || !info.IsDir() { // whatever was named is answered for, if only with a refusal
			if !visit(root) {
				return
			}
			continue
		}
		// With the slash a link to a folder is walked as the folder.
		err = filepath.WalkDir(root+string(filepath.Separator), func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && d.Name() == ".dicomesh" {
				return fs.SkipDir
			}
			if err == nil && !d.Type().IsRegular() {
				if !d.IsDir() {
					*odd++
				}
				return nil
			}
			// A folder that cannot be read is handed on as well: to open it is refused, with the reason, and the exit code says so.
			if !visit(filepath.Clean(p)) {
				return enough
			}
			return nil
		})
		if errors.Is(err, enough) {
			return
		}
	}
}

// ingestReport prints what became of the files.
type ingestReport struct {
	command  *ingestCommand
	terminal *terminal
	bar      *progress
	counts   map[ingest.Status]int
	studies  map[string]bool // of which something was taken
	bytes    int64
	odd      *int // what lay there and is no file: symbolic links, devices
	full     bool // there was no room for a file
	err      error
}

// ingestLine is the JSON of one file.
type ingestLine struct {
	Path     string   `json:"path"`
	Status   string   `json:"status"`
	Encoding string   `json:"encoding,omitempty"`
	Reason   string   `json:"reason,omitempty"`
	Remarks  []string `json:"remarks,omitempty"`
	Study    string   `json:"study,omitempty"`
	Series   string   `json:"series,omitempty"`
	SOP      string   `json:"sop,omitempty"`
	SHA256   string   `json:"sha256,omitempty"`
}

func (r *ingestReport) file(f ingest.Result) {
	if r.counts == nil {
		r.counts, r.studies = map[ingest.Status]int{}, map[string]bool{}
	}
	if f.Status != ingest.Refused {
		r.studies[f.Study.String()] = true
	}
	r.counts[f.Status]++
	r.full = r.full || f.Status == ingest.Refused && strings.HasSuffix(textWords(f.Reason), "is full")
	r.bytes += f.Size
	r.bar.add(f.Size)
	switch {
	case r.command.JSON:
		r.err = errors.Join(r.err, json.NewEncoder(r.terminal.out).Encode(ingestLine{
			Path: f.Path, Status: string(f.Status), Encoding: f.Encoding, Reason: f.Reason, Remarks: f.Remarks,
			Study: f.Study.String(), Series: f.Series.String(), SOP: f.SOP.String(), SHA256: f.SHA256,
		}))
	case f.Status == ingest.Refused:
		fmt.Fprintf(r.terminal.err, "refused    %s: %s\n", visible(f.Path), textWords(f.Reason))
	case f.Status == ingest.Conflict || r.command.Verbose || len(f.Remarks) > 0:
		fmt.Fprintf(r.terminal.out, "%-10s %s%s\n", f.Status, visible(f.Path), remarks(f))
	}
}

// visible is a path in one line, whatever is in its names: what a terminal would obey is quoted.
func visible(path string) string {
	if strings.ContainsFunc(path, unicode.IsControl) {
		return strconv.Quote(path)
	}
	return path
}

// remarks are what there is to say of a file that was taken.
func remarks(f ingest.Result) string {
	var words []string
	if f.Encoding != "" {
		words = append(words, "encoding: "+f.Encoding)
	}
	if f.Reason != "" {
		words = append(words, f.Reason)
	}
	if words = append(words, f.Remarks...); len(words) == 0 {
		return ""
	}
	return ": " + strings.Join(words, "; ")
}

// summary prints the counts. Refused files make the exit code 1.
func (r *ingestReport) summary() error {
	if r.err != nil {
		return r.err
	}
	n := 0
	for _, c := range r.counts {
		n += c
	}
	if !r.command.JSON {
		fmt.Fprintf(r.terminal.out, "%d files, %s: %d stored, %d duplicate, %d conflict, %d refused\n", n, size(r.bytes),
			r.counts[ingest.Stored], r.counts[ingest.Duplicate], r.counts[ingest.Conflict], r.counts[ingest.Refused])
		if *r.odd > 0 {
			fmt.Fprintf(r.terminal.out, "%d left out: symbolic links, and what else is no file; a link that is named itself is followed\n", *r.odd)
		}
	}
	if refused := r.counts[ingest.Refused]; refused > 0 {
		next := "the others are stored; the refused files are as they were: see why each was refused"
		if r.full {
			next = "make room for " + r.command.Tree + ", and ingest the same again: what is stored stays"
		}
		return fault{code: exitFault, err: fmt.Errorf("%d of %d files were refused", refused, n), next: next}
	}
	return nil
}
