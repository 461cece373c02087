package identity

import (
	"crypto/ed25519"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/gossip/roster"
)

// file is the content of cluster/identity.
type file struct {
	Version int    `json:"version"`
	Cluster string `json:"cluster"`
	Site    string `json:"site"`
	Root    []byte `json:"root"`
	Listen  string `json:"listen,omitempty"`
}

const fileVersion = 1

// Identity is who a site is. Its methods may be called from several goroutines; one process has it open.
type Identity struct {
	Cluster     string
	Name        string
	Listen      string          // the UDP address that was given when the site was set up; "" if none was
	Boot        uint64          // grows with every Open
	Certificate tls.Certificate // with the site's key

	fsys     durable.FS
	operator ed25519.PrivateKey // nil: none here
	changed  func(roster.Roster)

	changing sync.Mutex // one change at a time, told in order
	mu       sync.Mutex
	roster   roster.Roster // as it is on disk
}

// Founding is what Create needs to know.
type Founding struct {
	Cluster   string
	Site      string
	Listen    string
	Addresses []string // where others reach this site
	Now       time.Time
}

// Create makes a cluster of one site, and returns its recovery key for people to keep: nobody else has it. ErrIs if there is a site.
func Create(fsys durable.FS, f Founding) (recovery string, err error) {
	site, operator, err := prepare(fsys)
	if err != nil {
		return "", err
	}
	root, err := newKey()
	if err != nil {
		return "", err
	}
	r, err := roster.New(f.Cluster, root, roster.Site{Name: f.Site, Key: roster.KeyOf(site), Operator: roster.KeyOf(operator), Role: roster.Full,
		Addresses: f.Addresses, Status: roster.Active, By: f.Site})
	if err != nil {
		return "", err
	}
	der, err := issue(f.Cluster, f.Site, roster.KeyOf(site), "founder of "+f.Cluster, root, f.Now)
	if err != nil {
		return "", err
	}
	return formatRecovery(root), keep(fsys, f.Site, f.Listen, der, r)
}

// Check says whether a site can be set up in a folder: ErrIs if there is one.
func Check(fsys durable.FS) error {
	if _, err := fsys.Lstat(identityFile); !missing(err) {
		return errors.Join(ErrIs, err)
	}
	return nil
}

// prepare makes the keys of a site that is to be.
func prepare(fsys durable.FS) (site, operator ed25519.PrivateKey, err error) {
	if err := Check(fsys); err != nil {
		return nil, nil, err
	}
	if err := makeFolder(fsys, folder); err != nil {
		return nil, nil, err
	}
	if err := makeFolder(fsys, tokenFolder); err != nil {
		return nil, nil, err
	}
	site, err = ensureKey(fsys, siteKeyFile)
	if err == nil {
		operator, err = ensureKey(fsys, operatorFile)
	}
	return site, operator, err
}

// keep writes what makes a site, the identity last.
func keep(fsys durable.FS, site, listen string, certificate []byte, r roster.Roster) error {
	cluster, root := r.Cluster()
	text, err := json.MarshalIndent(file{fileVersion, cluster, site, root[:], listen}, "", "  ")
	if err != nil {
		return err
	}
	if err := durable.ReplaceFile(fsys, certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})); err != nil {
		return err
	}
	if err := durable.ReplaceFile(fsys, rosterFile, r.Encode()); err != nil {
		return err
	}
	return durable.WriteFile(fsys, identityFile, append(text, '\n'))
}

// Open reads the identity and counts the start. changed is told of each new roster, durable by then, in order; it may be nil, and must not call the Identity.
// ErrNone if there is no identity; any other error says which file is damaged.
func Open(fsys durable.FS, changed func(roster.Roster)) (*Identity, error) {
	i, err := load(fsys)
	if err != nil {
		return nil, err
	}
	i.changed = changed
	if i.Boot, err = count(fsys); err != nil {
		return nil, err
	}
	return i, nil
}

// load reads an identity and changes nothing.
func load(fsys durable.FS) (*Identity, error) {
	text, err := read(fsys, identityFile)
	if missing(err) {
		return nil, ErrNone
	}
	var f file
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err != nil || f.Version != fileVersion || len(f.Root) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%s is damaged, or of another version (%w): put the folder cluster/ back from a backup", identityFile, orNil(err))
	}
	i := &Identity{Cluster: f.Cluster, Name: f.Site, Listen: f.Listen, fsys: fsys}
	if i.roster, err = loadRoster(fsys, f); err != nil {
		return nil, err
	}
	if i.operator, err = loadKey(fsys, operatorFile); err != nil && !missing(err) {
		return nil, err
	}
	return i, i.loadCertificate()
}

func orNil(err error) error {
	if err == nil {
		return errors.New("wrong content")
	}
	return err
}

func loadRoster(fsys durable.Reader, f file) (roster.Roster, error) {
	encoded, err := read(fsys, rosterFile)
	if err != nil {
		return roster.Roster{}, fmt.Errorf("read the roster: %w: put %s back from a backup, of this site or of another one of the cluster", err, rosterFile)
	}
	r, err := roster.Decode(encoded)
	if err != nil {
		return r, fmt.Errorf("read %s: %w: put it back from a backup, of this site or of another one of the cluster", rosterFile, err)
	}
	if cluster, root := r.Cluster(); cluster != f.Cluster || root != roster.Key(f.Root) {
		return r, fmt.Errorf("%s: %w", rosterFile, roster.ErrOtherCluster)
	}
	return r, nil
}

func (i *Identity) loadCertificate() error {
	key, err := loadKey(i.fsys, siteKeyFile)
	if err != nil {
		return fmt.Errorf("read the site's key: %w", err)
	}
	text, err := read(i.fsys, certFile)
	if err != nil {
		return fmt.Errorf("read the site's certificate: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return fmt.Errorf("%s is no certificate in PEM", certFile)
	}
	if err := checkCertificate(block.Bytes, i.Cluster, i.Name, roster.KeyOf(key), i.roster.Issuers()); err != nil {
		return fmt.Errorf("%s: %w", certFile, err)
	}
	i.Certificate = tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: key}
	return nil
}

// count adds one start. A count that is lost begins at the time, which is more than any count.
func count(fsys durable.FS) (uint64, error) {
	text, err := read(fsys, bootFile)
	if err != nil && !missing(err) {
		return 0, err
	}
	boot, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || boot == 0 {
		boot = uint64(time.Now().Unix())
	}
	boot++
	return boot, durable.ReplaceFile(fsys, bootFile, strconv.AppendUint(nil, boot, 10))
}

// Roster is the roster as it is now.
func (i *Identity) Roster() roster.Roster {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.roster
}

// Merge takes another site's roster into this one's and says whether there was anything new. What is wrong with a roster is refused as a whole.
func (i *Identity) Merge(encoded []byte) (news bool, err error) {
	other, err := roster.Decode(encoded)
	if err != nil {
		return false, err
	}
	i.changing.Lock()
	defer i.changing.Unlock()
	merged, err := roster.Merge(i.Roster(), other)
	if err != nil {
		return false, err
	}
	return i.put(merged)
}

// Change lets an operator of this site change the roster: change is given it and the operator's key. ErrNoOperator, or the error of change.
func (i *Identity) Change(change func(r roster.Roster, operator ed25519.PrivateKey) (roster.Roster, error)) error {
	i.changing.Lock()
	defer i.changing.Unlock()
	return i.change(change)
}

// Recover is Change with the cluster's recovery key, for when no operator's key is left. ErrOtherKey, what is wrong with the text, or the error of change.
func (i *Identity) Recover(recovery string, change func(r roster.Roster, root ed25519.PrivateKey) (roster.Roster, error)) error {
	key, err := ParseRecovery(recovery)
	if err != nil {
		return err
	}
	i.changing.Lock()
	defer i.changing.Unlock()
	if _, root := i.Roster().Cluster(); roster.KeyOf(key) != root {
		return ErrOtherKey
	}
	r, err := change(i.Roster(), key)
	if err == nil {
		_, err = i.put(r)
	}
	return err
}

// ErrOtherKey says that a recovery key is that of another cluster.
var ErrOtherKey = errors.New("that is the recovery key of another cluster")

func (i *Identity) change(change func(roster.Roster, ed25519.PrivateKey) (roster.Roster, error)) error {
	if i.operator == nil {
		return ErrNoOperator
	}
	r, err := change(i.Roster(), i.operator)
	if err == nil {
		_, err = i.put(r)
	}
	return err
}

// put keeps a roster that may be new. i.changing is held.
func (i *Identity) put(r roster.Roster) (news bool, err error) {
	if r.Epoch() == i.Roster().Epoch() {
		return false, nil
	}
	if err := durable.ReplaceFile(i.fsys, rosterFile, r.Encode()); err != nil {
		return false, fmt.Errorf("keep the roster: %w", err)
	}
	i.mu.Lock()
	i.roster = r
	i.mu.Unlock()
	if i.changed != nil {
		i.changed(r)
	}
	return true, nil
}

// Describe reads who the site of a folder is, without opening it: for commands beside a running agent. ErrNone.
func Describe(fsys durable.FS) (cluster, site string, r roster.Roster, err error) {
	i, err := load(fsys)
	if err != nil {
		return "", "", roster.Roster{}, err
	}
	return i.Cluster, i.Name, i.roster, nil
}
