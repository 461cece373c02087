package e2e

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
)

// sha256Of prints a line for each file: its sum and its name as the script has it.
func sha256Of(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: sha256 FILE...")
	}
	for _, name := range args {
		file, err := os.Open(ts.MkAbs(name))
		ts.Check(err)
		sum := sha256.New()
		_, err = io.Copy(sum, file)
		ts.Check(err)
		ts.Check(file.Close())
		_, err = fmt.Fprintf(ts.Stdout(), "%x  %s\n", sum.Sum(nil), name)
		ts.Check(err)
	}
}

// du prints the bytes of all regular files below its argument.
func du(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: du FILE|DIR")
	}
	var total int64
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	}))
	_, err := fmt.Fprintln(ts.Stdout(), total)
	ts.Check(err)
}

// flip changes the lowest bit of one byte in place.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip FILE OFFSET")
	}
	offset, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	name := ts.MkAbs(args[0])
	ts.Check(os.Chmod(name, 0o644))
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	ts.Check(err)
	if offset < 0 {
		info, err := file.Stat()
		ts.Check(err)
		offset += info.Size()
	}
	b := make([]byte, 1)
	_, err = file.ReadAt(b, offset)
	ts.Check(err)
	_, err = file.WriteAt([]byte{b[0] ^ 1}, offset)
	ts.Check(err)
	ts.Check(file.Close())
}
