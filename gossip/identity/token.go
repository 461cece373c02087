package identity

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/gossip/roster"
)

// Token is what a token says to the site that joins. Its text is one word; whoever has it can join in its place.
type Token struct {
	Cluster   string     `json:"c"`
	Root      roster.Key `json:"-"`
	Issuer    string     `json:"n"` // the site that made it, and will answer
	Key       roster.Key `json:"-"` // of that site
	Addresses []string   `json:"a"`
	Site      string     `json:"s,omitempty"` // that it is for; "" for any name
	id        [8]byte
	secret    [16]byte
}

// grant is what is kept of a token where it was made.
type grant struct {
	Secret  []byte      `json:"secret"`
	Site    string      `json:"site,omitempty"`
	Role    roster.Role `json:"role"`
	Until   time.Time   `json:"until"`
	UsedBy  []byte      `json:"used_by,omitempty"` // the key that joined with it
	UsedFor string      `json:"used_for,omitempty"`
}

// Permit is what a token is to allow.
type Permit struct {
	Site string // "": any name that is free
	Role roster.Role
	TTL  time.Duration
	Now  time.Time
}

// limits of tokens
const (
	maxTokens   = 256
	tokenPrefix = "dicomesh-join-"
)

// MaxTTL is how long a token is valid at most.
const MaxTTL = 30 * 24 * time.Hour

// ErrToken says that a word is no token.
var ErrToken = errors.New("not a join token")

// NewToken makes a join token at the site of a folder; its agent may run or not, but answers only when it runs. It is valid for one site, up to
// its time. ErrNone, ErrNoOperator, roster.ErrTaken.
func NewToken(fsys durable.FS, p Permit) (string, error) {
	i, err := load(fsys)
	if err != nil {
		return "", err
	}
	self, err := i.checkPermit(p)
	if err != nil {
		return "", err
	}
	_, root := i.roster.Cluster()
	t := Token{Cluster: i.Cluster, Root: root, Issuer: i.Name, Key: self.Key, Addresses: self.Addresses, Site: p.Site}
	rand.Read(t.id[:])
	rand.Read(t.secret[:])
	if err := makeFolder(fsys, tokenFolder); err != nil {
		return "", err
	}
	if err := sweep(fsys, p.Now); err != nil {
		return "", err
	}
	g := grant{Secret: t.secret[:], Site: p.Site, Role: p.Role, Until: p.Now.Add(p.TTL).UTC().Truncate(time.Second)}
	return t.String(), putGrant(fsys, t.id, g)
}

// checkPermit says why a token would be of no use, and returns this site's row.
func (i *Identity) checkPermit(p Permit) (roster.Site, error) {
	self, err := i.roster.Site(i.Name)
	switch {
	case err != nil:
		return self, fmt.Errorf("this site: %w", err)
	case i.operator == nil:
		return self, ErrNoOperator
	case self.DialOnly():
		return self, errors.New("this site can only dial out, so nobody can join through it: make the token at a site that others can dial")
	case p.TTL <= 0 || p.TTL > MaxTTL:
		return self, fmt.Errorf("a token is valid for up to %v, not %v", MaxTTL, p.TTL)
	}
	if _, err := roster.ParseRole(string(p.Role)); err != nil {
		return self, err
	}
	if p.Site == "" {
		return self, nil
	}
	if err := roster.CheckName(p.Site); err != nil {
		return self, err
	}
	if _, err := i.roster.Site(p.Site); err == nil {
		return self, fmt.Errorf("site %s: %w", p.Site, roster.ErrTaken)
	}
	return self, nil
}

// String is the token as one word: a JSON object, then keys, id and secret, then four bytes of SHA-256, in base64.
func (t Token) String() string {
	head, _ := json.Marshal(t) // of strings alone, it cannot fail
	b := append([]byte{byte(len(head) >> 8), byte(len(head))}, head...)
	for _, part := range [][]byte{t.Root[:], t.Key[:], t.id[:], t.secret[:]} {
		b = append(b, part...)
	}
	sum := sha256.Sum256(b)
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(append(b, sum[:4]...))
}

// ParseToken reads a token. ErrToken.
func ParseToken(text string) (Token, error) {
	var t Token
	body, is := strings.CutPrefix(strings.TrimSpace(text), tokenPrefix)
	b, err := base64.RawURLEncoding.Strict().DecodeString(body)
	const tail = 32 + 32 + 8 + 16 + 4
	if !is {
		return t, fmt.Errorf("%w: it is one word that begins with %s", ErrToken, tokenPrefix)
	}
	if err != nil || len(body) > 8<<10 || len(b) < 2+tail {
		return t, fmt.Errorf("%w: it is cut off, or has a typing error", ErrToken)
	}
	sum := sha256.Sum256(b[:len(b)-4])
	head := b[2 : len(b)-tail]
	if string(sum[:4]) != string(b[len(b)-4:]) || int(b[0])<<8|int(b[1]) != len(head) {
		return t, fmt.Errorf("%w: it is cut off, or has a typing error", ErrToken)
	}
	if err := json.Unmarshal(head, &t); err != nil {
		return t, fmt.Errorf("%w: %w", ErrToken, err)
	}
	rest := b[len(b)-tail:]
	for _, part := range [][]byte{t.Root[:], t.Key[:], t.id[:], t.secret[:]} {
		rest = rest[copy(part, rest):]
	}
	return t, t.check()
}

func (t Token) check() error {
	if err := errors.Join(roster.CheckName(t.Cluster), roster.CheckName(t.Issuer)); err != nil {
		return fmt.Errorf("%w: %w", ErrToken, err)
	}
	for _, a := range t.Addresses {
		if err := roster.CheckAddress(a); err != nil {
			return fmt.Errorf("%w: %w", ErrToken, err)
		}
	}
	if len(t.Addresses) == 0 || len(t.Addresses) > roster.MaxAddresses {
		return fmt.Errorf("%w: %d addresses", ErrToken, len(t.Addresses))
	}
	return nil
}

func tokenFile(id [8]byte) string { return tokenFolder + "/" + hex.EncodeToString(id[:]) }

func putGrant(fsys durable.FS, id [8]byte, g grant) error {
	text, err := json.Marshal(g)
	if err != nil {
		return err
	}
	return durable.ReplaceFile(fsys, tokenFile(id), text)
}

// loadGrant reads a grant; fs.ErrNotExist if the token is not one of ours, or was swept.
func loadGrant(fsys durable.Reader, id [8]byte) (grant, error) {
	var g grant
	text, err := read(fsys, tokenFile(id))
	if err == nil {
		err = json.Unmarshal(text, &g)
	}
	return g, err
}

// sweep removes tokens that are over, and refuses more than there may be.
func sweep(fsys durable.FS, now time.Time) error {
	entries, err := fsys.ReadDir(tokenFolder)
	if err != nil {
		return err
	}
	left := 0
	for _, e := range entries {
		var id [8]byte
		if n, err := hex.Decode(id[:], []byte(e.Name())[:min(16, len(e.Name()))]); err != nil || n != 8 || len(e.Name()) != 16 {
			continue
		}
		if g, err := loadGrant(fsys, id); err == nil && !now.After(g.Until) {
			left++
			continue
		}
		if err := fsys.Remove(tokenFile(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if left >= maxTokens {
		return fmt.Errorf("%d tokens are valid already: wait until they are over", left)
	}
	return nil
}

// proof shows who has the secret that a request came over this connection.
func proof(secret, binding, body []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte("dicomesh join 1\x00"))
	h.Write(binding)
	h.Write(body)
	return h.Sum(nil)
}
