// Package access knows who may use a site's HTTP port: whoever shows a token that an operator made, each with a role.
//
// A token is 256 random bits, shown once when it is made. Its SHA-256 is what is kept, in access.json in the state folder, beside a name by which it is
// taken back, its role, and the day on which it ends. So who reads the file cannot use the port, and no slow hash is needed: there is nothing to guess.
//
// The file is written by commands and read by the agent, which looks whether it has changed whenever somebody knocks: a token that is taken back opens nothing
// from that moment on. A file that cannot be read lets nobody in.
package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/dicomesh/dicomesh/dedup/durable"
)

// Role is what somebody may do.
type Role string

// The roles. Operate covers Read.
const (
	Read    Role = "read"    // look: the page, the API, metrics, DICOMweb
	Operate Role = "operate" // also change: post instances, acknowledge that a site is down, remove one
)

// ParseRole reads a role.
func ParseRole(text string) (Role, error) {
	if r := Role(text); r == Read || r == Operate {
		return r, nil
	}
	return "", fmt.Errorf("%q is no role: write read or operate", text)
}

// Covers reports whether who has a role may do what needs one.
func (r Role) Covers(need Role) bool { return r == Operate || r == Read && need == Read }

// Grant is what is kept of a token.
type Grant struct {
	Name  string    `json:"name"`
	Role  Role      `json:"role"`
	Hash  string    `json:"sha256"` // of the token's text, in hex
	Made  time.Time `json:"made"`
	Until time.Time `json:"until"`
}

// The errors of a token. Each says something else to whoever showed it.
var (
	ErrUnknown = errors.New("this token is not known here")
	ErrExpired = errors.New("this token has expired")
)

// ErrPermit says that a token is asked for that cannot be.
var ErrPermit = errors.New("no such token can be made")

// ErrTaken says that there is a token of that name.
var ErrTaken = errors.New("there is a token of that name already")

// ErrNone says that there is no token of that name.
var ErrNone = errors.New("there is no token of that name")

const (
	fileName = "access.json"
	prefix   = "dicomesh-http-" // by which people and scanners for secrets know what they have found
	most     = 1000             // tokens
)

var names = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._@-]{0,63}$`)

// Permit is what a token is to allow.
type Permit struct {
	Name string
	Role Role
	TTL  time.Duration
	Now  time.Time
}

// Add makes a token and keeps what is to be kept of it, durably. The text is nowhere else: who loses it makes another one. ErrPermit, ErrTaken.
func Add(state durable.FS, p Permit) (token string, err error) {
	switch {
	case !names.MatchString(p.Name):
		return "", fmt.Errorf("%w: %q is no name for one: use up to 64 letters, digits, and . _ @ -", ErrPermit, p.Name)
	case p.TTL <= 0:
		return "", fmt.Errorf("%w: one that is valid for %v opens nothing", ErrPermit, p.TTL)
	}
	all, err := List(state)
	if err != nil {
		return "", err
	}
	all = slices.DeleteFunc(all, func(g Grant) bool { return g.Name == p.Name && !p.Now.Before(g.Until) }) // one that has ended may be made anew
	switch {
	case slices.ContainsFunc(all, func(g Grant) bool { return g.Name == p.Name }):
		return "", fmt.Errorf("%w: %s", ErrTaken, p.Name)
	case len(all) >= most:
		return "", fmt.Errorf("there are %d tokens already", most)
	}
	var secret [32]byte
	rand.Read(secret[:])
	token = prefix + base64.RawURLEncoding.EncodeToString(secret[:])
	all = append(all, Grant{Name: p.Name, Role: p.Role, Hash: hash(token), Made: p.Now.UTC().Truncate(time.Second), Until: p.Now.Add(p.TTL).UTC().Truncate(time.Second)})
	return token, save(state, all)
}

// Remove takes a token back. ErrNone.
func Remove(state durable.FS, name string) error {
	all, err := List(state)
	if err != nil {
		return err
	}
	left := slices.DeleteFunc(slices.Clone(all), func(g Grant) bool { return g.Name == name })
	if len(left) == len(all) {
		return fmt.Errorf("%w: %s", ErrNone, name)
	}
	return save(state, left)
}

// List is every token that was made and not taken back, in the order in which they were made; those that have ended as well.
func List(state durable.Reader) ([]Grant, error) {
	file, err := state.Open(fileName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the tokens: %w", err)
	}
	defer file.Close()
	var all []Grant
	if err := json.NewDecoder(file).Decode(&all); err != nil {
		return nil, fmt.Errorf("read the tokens: %s in the state folder: %w", fileName, err)
	}
	return all, nil
}

func save(state durable.FS, all []Grant) error {
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("keep the tokens: %w", err)
	}
	if err := durable.ReplaceFile(state, fileName, append(text, '\n')); err != nil {
		return fmt.Errorf("keep the tokens: %w", err)
	}
	return nil
}

func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// check finds whose a token is. Every grant is compared, and each in constant time, so that how long it takes says nothing.
func check(all []Grant, token string, now time.Time) (Grant, error) {
	shown, found := []byte(hash(token)), -1
	for i, g := range all {
		if subtle.ConstantTimeCompare(shown, []byte(g.Hash)) == 1 {
			found = i
		}
	}
	switch {
	case found < 0 && !strings.HasPrefix(token, prefix):
		return Grant{}, fmt.Errorf("%w: it begins with %s", ErrUnknown, prefix)
	case found < 0:
		return Grant{}, ErrUnknown
	case !now.Before(all[found].Until):
		return all[found], fmt.Errorf("%w on %s", ErrExpired, all[found].Until.Local().Format(time.DateOnly))
	}
	return all[found], nil
}
