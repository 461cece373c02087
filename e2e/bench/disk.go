package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// disk is a file system that nothing else uses, mounted from a file.
type disk struct {
	folder string // with the image and the mount point in it
	Mount  string
}

// newDisk makes an ext4 of so many bytes below dir and mounts it. It needs root. The caller closes it, whatever happens.
func newDisk(ctx context.Context, dir string, bytes int64) (*disk, error) {
	folder, err := os.MkdirTemp(dir, "dicomesh-bench-")
	if err != nil {
		return nil, err
	}
	d := &disk{folder, filepath.Join(folder, "mount")}
	image := filepath.Join(folder, "ext4")
	err = os.Mkdir(d.Mount, 0o755)
	if err == nil {
		err = os.WriteFile(image, nil, 0o600)
	}
	if err == nil {
		err = os.Truncate(image, bytes)
	}
	if err == nil {
		err = command(ctx, "mkfs.ext4", "-q", "-F", "-i", "8192", image)
	}
	if err == nil {
		err = command(ctx, "mount", "-o", "loop", image, d.Mount)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("an ext4 of its own needs root, mkfs.ext4 and a loop device (or take --smoke): %w", err), os.RemoveAll(folder))
	}
	return d, nil
}

// Close unmounts and removes the disk. It takes no context: it has to happen when everything else is cancelled.
func (d *disk) Close() error {
	if out, err := exec.Command("umount", d.Mount).CombinedOutput(); err != nil {
		return fmt.Errorf("umount %s: %w: %s; then remove %s", d.Mount, err, strings.TrimSpace(string(out)), d.folder)
	}
	return os.RemoveAll(d.folder)
}

// command runs a program, whose output is part of its error.
func command(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// usage is what a folder holds.
type usage struct {
	files, fileBytes int64 // regular files
	bytes            int64 // and folders, as du --apparent-size counts
}

// measureFolder walks a folder.
func measureFolder(folder string) (usage, error) {
	var u usage
	err := filepath.WalkDir(folder, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		u.bytes += info.Size()
		if d.Type().IsRegular() {
			u.files, u.fileBytes = u.files+1, u.fileBytes+info.Size()
		}
		return nil
	})
	return u, err
}
