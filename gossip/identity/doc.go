// Package identity keeps, in a site's state folder, who the site is: its keys and certificate, the roster, and the tokens with which others may join.
//
//	cluster/identity      cluster, site, the key of the cluster's root, where to listen (JSON). Written last: without it there is no identity
//	cluster/site.key      the site's key, an Ed25519 private key in PEM. Pinned in the roster, so it never changes
//	cluster/operator.key  the operator credential: it signs roster records and certificates. May be taken away from a site that is not to sign
//	cluster/certificate   of the site, in PEM, issued by the operator that admitted it
//	cluster/roster        see package roster
//	cluster/boot          how often the site was started
//	cluster/tokens/ID     join tokens that were made here and are not over
//
// The folder must be private (durable.OpenPrivate: files 0400, folders 0700). All changes are durable when a call returns, and whatever the
// moment of a crash, the next call finds the state before or after: Create and Accept can simply be called again.
//
// A site joins with a token: one word, made at a site that is in the cluster (NewToken), which says where to ask, the key of who will answer, and a
// secret. The secret never goes over the wire: the request is authenticated with it and with what is unique to the TLS connection, so who records
// it, or stands in between, has nothing. A token is for one machine: the first key that uses it. That machine may ask again with it, when the answer was lost.
package identity

import (
	"errors"
	"io"
	"io/fs"

	"github.com/dicomesh/dicomesh/dedup/durable"
)

const (
	folder       = "cluster"
	identityFile = folder + "/identity"
	siteKeyFile  = folder + "/site.key"
	operatorFile = folder + "/operator.key"
	certFile     = folder + "/certificate"
	rosterFile   = folder + "/roster"
	bootFile     = folder + "/boot"
	tokenFolder  = folder + "/tokens"
	largestFile  = 8 << 20
)

// ErrNone says that the folder has no identity: the site is alone, or was never set up.
var ErrNone = errors.New("no identity")

// ErrIs says that the folder has one already, which is never overwritten.
var ErrIs = errors.New("the folder is that of a site already")

// ErrNoOperator says that this site has no operator credential: type it at another site.
var ErrNoOperator = errors.New("this site has no operator credential")

// read reads a small file; fs.ErrNotExist if there is none.
func read(fsys durable.Reader, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, largestFile+1))
	if err == nil && len(b) > largestFile {
		err = errors.New(name + " is too large to be what it should be")
	}
	return b, err
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// makeFolder makes a folder of the state, durably.
func makeFolder(fsys durable.FS, name string) error {
	if err := fsys.Mkdir(name); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return errors.Join(fsys.SyncDir(parent(name)), fsys.SyncDir(name))
}
