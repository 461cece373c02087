package agent

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/combine"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/ingest/inbox"
	"github.com/dicomesh/dicomesh/watch"
)

// Machine is what a site needs of the computer that it runs on, apart from its state folder: disks, a port to the other sites, news of files, doors. A simulation of many sites
// in one process is another one; what a site decides and how its parts are joined is the same on both.
type Machine struct {
	// Make makes the folder of the tree or of the current files if it is not there; Folder opens it, fs.ErrNotExist if it is not there.
	Make   func(path string) error
	Folder func(path string) (Folder, error)
	// Same reports whether path still names the folder that is open.
	Same func(open Folder, path string) (bool, error)
	// Share gives a file of one folder a name in another one without copying it: see durable.Share.
	Share func(from Folder, name string, to Folder, as string) error
	// Room is how many bytes are free where a folder is, and how many there are in all.
	Room func(path string) (free, size uint64, err error)
	// Port opens the UDP port.
	Port func(address string) (net.PacketConn, error)

	// Clock is what running time is read from; nil: combine.SystemClock. Wall is what the wall clock shows, which people set; nil: time.Now.
	Clock func() combine.Reading
	Wall  func() time.Time

	Watch func(watch.Config) Watcher
	Inbox func(inbox.Config) Inbox
	// Doors opens the doors for questions, and says where the HTTP port is.
	Doors func(admin.Config) (doors Doors, address string, err error)
}

// Folder is an open folder on a disk.
type Folder interface {
	durable.FS
	io.Closer
}

// Watcher tells of studies that have news: see watch.Watcher.
type Watcher interface {
	Attention
	Run(ctx context.Context) error
	Status() watch.Status
}

// Attention is which studies a Watcher is to look at more often, or need not any more.
type Attention interface {
	Heat(study dedup.UID)
	Expect(study dedup.UID)
	Enough(study dedup.UID)
}

// Inbox is the door through which files come: see inbox.Inbox.
type Inbox interface {
	Run(ctx context.Context) error
	Status() inbox.Status
	Empty() (bool, error)
}

// Doors answer questions: see admin.Server. Run them, or Close them.
type Doors interface {
	Run(ctx context.Context) error
	Close() error
}

// thisMachine is the computer that this program runs on.
func thisMachine() *Machine {
	return &Machine{
		Make:   func(path string) error { return os.MkdirAll(path, 0o755) },
		Folder: func(path string) (Folder, error) { return folder(durable.OpenOS(path)) },
		Same:   sameFolder,
		Share:  share,
		Room:   measure,
		Port:   func(address string) (net.PacketConn, error) { return net.ListenPacket("udp", address) },
		Watch:  func(c watch.Config) Watcher { return watch.New(c) },
		Inbox:  func(c inbox.Config) Inbox { return inbox.New(c) },
		Doors: func(c admin.Config) (Doors, string, error) {
			s, err := admin.Open(c)
			if err != nil {
				return nil, "", err
			}
			return s, s.Address, nil
		},
	}
}

// folder is a folder that was opened, and no Folder that holds nothing where it was not.
func folder(o *durable.OS, err error) (Folder, error) {
	if err != nil {
		return nil, err
	}
	return o, nil
}

func sameFolder(open Folder, path string) (bool, error) {
	is, err := open.Lstat(".")
	if err != nil {
		return false, err
	}
	named, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(is, named), err
}

func share(from Folder, name string, to Folder, as string) error {
	a, here := from.(*durable.OS)
	b, there := to.(*durable.OS)
	if !here || !there {
		return errors.ErrUnsupported
	}
	return durable.Share(a, name, b, as)
}
