package demo

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// content is a digest over the names and contents of all files below a folder, decompressed where a name ends in .gz, and how many there are: two folders with
// one digest hold the same. Folders that begin with a dot are left out.
func content(folder string) (digest string, files int, err error) {
	sum := sha256.New()
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != folder:
			return filepath.SkipDir
		case d.IsDir():
			return nil
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		inside, err := hashFile(path)
		files++
		fmt.Fprintf(sum, "%s\x00%s\x00", name, inside)
		return err
	})
	return hex.EncodeToString(sum.Sum(nil)[:8]), files, err
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			return "", err
		}
	}
	sum := sha256.New()
	_, err = io.Copy(sum, r)
	return hex.EncodeToString(sum.Sum(nil)), err
}

// sums are the SHA-256 sums of all files below a folder, in order.
func sums(folder string) (all []string, err error) {
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		sum, err := hashFile(path)
		all = append(all, sum)
		return err
	})
	slices.Sort(all)
	return all, err
}

// weight is how many files a folder has, and how many bytes they have.
func weight(folder string) (files int, bytes int64, err error) {
	err = filepath.WalkDir(folder, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			files, bytes = files+1, bytes+info.Size()
		}
		return err
	})
	return files, bytes, err
}

// prove holds, from outside, that all sites have the same archive and the same DICOMweb files, that every file comes out as it went in, and that every hash is right.
func (d *demo) prove(ctx context.Context) error {
	d.heading("The proof, from what lies in the folders")
	d.say("  %-9s  %-27s  %s", "", "archive", "DICOMweb files")
	var first [2]string
	for i, s := range d.sites {
		archive, files, err := content(filepath.Join(s.data, "tree", "studies"))
		if err != nil {
			return err
		}
		current, web, err := content(filepath.Join(s.data, "current"))
		if err != nil {
			return err
		}
		if i == 0 {
			first = [2]string{archive, current}
		}
		d.say("  %-9s  %s  %4d files  %s  %4d files", s.name, archive, files, current, web)
		if first != [2]string{archive, current} {
			return fmt.Errorf("%s does not hold what %s does", s.name, d.sites[0].name)
		}
		if _, err := run(ctx, d.config.Program, "verify", "--tree", filepath.Join(s.data, "tree"), "--deep"); err != nil {
			return err
		}
	}
	d.say("  All sites hold the same: one digest over the names and contents of all files.")
	d.say("  dicomesh verify --deep has read every byte at each of them and found no fault.")
	last := d.sites[len(d.sites)-1]
	out := filepath.Join(d.folder, "exported")
	if _, err := run(ctx, d.config.Program, "export", "--tree", filepath.Join(last.data, "tree"), "--out", out); err != nil {
		return err
	}
	before, err := sums(d.samples())
	if err != nil {
		return err
	}
	after, err := sums(out)
	if err != nil {
		return err
	}
	if !slices.Equal(before, after) {
		return fmt.Errorf("%d files went in, and what comes out at %s are %d others", len(before), last.name, len(after))
	}
	d.say("  All %d files that came in anywhere come out at the %s with the same SHA-256.", len(after), last.name)
	return nil
}
