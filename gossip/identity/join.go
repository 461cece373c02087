package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/gossip/roster"
)

// A request is the token's id (8 bytes), the proof (32), and this as JSON; fields that are not known are passed over.
type request struct {
	Site      string   `json:"site"`
	Key       []byte   `json:"key"`
	Operator  []byte   `json:"operator"`
	Addresses []string `json:"addresses,omitempty"`
}

// admission is the answer.
type admission struct {
	Certificate []byte `json:"certificate"`
	Roster      []byte `json:"roster"`
}

const (
	idSize    = 8
	proofSize = 32
	bindSize  = 32
)

// Applicant is a site that is to join.
type Applicant struct {
	fsys     durable.FS
	token    Token
	name     string
	listen   string
	site     ed25519.PrivateKey
	operator ed25519.PrivateKey
	body     []byte
}

// Apply makes a site ready to join with a token: its keys are on disk when it returns, so that it is the same machine if it has to ask again.
// No addresses: it can only dial out. ErrIs if the folder is that of a site.
func Apply(fsys durable.FS, t Token, name, listen string, addresses []string) (*Applicant, error) {
	if err := roster.CheckName(name); err != nil {
		return nil, err
	}
	if t.Site != "" && t.Site != name {
		return nil, fmt.Errorf("the token is for a site named %s, not %s", t.Site, name)
	}
	site, operator, err := prepare(fsys)
	if err != nil {
		return nil, err
	}
	own, op := roster.KeyOf(site), roster.KeyOf(operator)
	body, err := json.Marshal(request{name, own[:], op[:], addresses})
	return &Applicant{fsys, t, name, listen, site, operator, body}, err
}

// Request is what to send over the connection with this binding.
func (a *Applicant) Request(binding []byte) ([]byte, error) {
	if len(binding) != bindSize {
		return nil, fmt.Errorf("a binding of %d bytes", len(binding))
	}
	return bytes.Join([][]byte{a.token.id[:], proof(a.token.secret[:], binding, a.body), a.body}, nil), nil
}

// Accept checks the answer and makes the folder that of the site.
func (a *Applicant) Accept(answer []byte) error {
	var got admission
	if err := json.Unmarshal(answer, &got); err != nil {
		return fmt.Errorf("the answer is none: %w", err)
	}
	r, err := roster.Decode(got.Roster)
	if err != nil {
		return fmt.Errorf("the answer's roster: %w", err)
	}
	if cluster, root := r.Cluster(); cluster != a.token.Cluster || root != a.token.Root {
		return fmt.Errorf("the answer's roster: %w", roster.ErrOtherCluster)
	}
	row, err := r.Site(a.name)
	if err != nil || row.Key != roster.KeyOf(a.site) || row.Operator != roster.KeyOf(a.operator) {
		return errors.New("the answer's roster does not have this site as it asked")
	}
	if err := checkCertificate(got.Certificate, a.token.Cluster, a.name, row.Key, r.Issuers()); err != nil {
		return fmt.Errorf("the answer: %w", err)
	}
	return keep(a.fsys, a.name, a.listen, got.Certificate, r)
}

// errNoToken tells nothing of whether there ever was such a token.
var errNoToken = errors.New("no such token here: it may be over, or from another site; make a new one with dicomesh token")

// Admit answers a request to join: it uses up the token, enters the site in the roster, and returns its certificate and the roster. The error is
// for the one who asked as well, who is a stranger until the proof is right.
func (i *Identity) Admit(binding, asked []byte, now time.Time) ([]byte, error) {
	if len(asked) < idSize+proofSize || len(binding) != bindSize || i.operator == nil {
		return nil, errNoToken
	}
	i.changing.Lock()
	defer i.changing.Unlock()
	id, body := [idSize]byte(asked[:idSize]), asked[idSize+proofSize:]
	g, err := loadGrant(i.fsys, id)
	if err != nil || !hmac.Equal(proof(g.Secret, binding, body), asked[idSize:idSize+proofSize]) || len(g.Secret) == 0 {
		return nil, errNoToken
	}
	var r request
	if err := json.Unmarshal(body, &r); err != nil || len(r.Key) != ed25519.PublicKeySize || len(r.Operator) != ed25519.PublicKeySize {
		return nil, errors.New("the request is in no form that this site knows: are the versions of dicomesh too different?")
	}
	if err := i.useToken(id, g, r, now); err != nil {
		return nil, err
	}
	row, err := i.enter(r, g.Role)
	if err != nil {
		return nil, err
	}
	certificate, err := issue(i.Cluster, r.Site, row.Key, "operator of "+i.Name, i.operator, now)
	if err != nil {
		return nil, err
	}
	return json.Marshal(admission{certificate, i.Roster().Encode()})
}

// TakenError says that a machine asked to join under the name of a member, with another key. It is a roster.ErrTaken.
type TakenError struct{ Site string }

// Error is for whoever asked.
func (t *TakenError) Error() string {
	return fmt.Sprintf("site %s: %v: choose another name, or remove the old one first (dicomesh remove %s)", t.Site, roster.ErrTaken, t.Site)
}

// Unwrap makes it a roster.ErrTaken.
func (t *TakenError) Unwrap() error { return roster.ErrTaken }

// useToken binds a token to the one that uses it, durably, before anything is granted.
func (i *Identity) useToken(id [idSize]byte, g grant, r request, now time.Time) error {
	switch {
	case now.After(g.Until):
		return fmt.Errorf("the token was valid until %s: make a new one with dicomesh token", g.Until.Format(time.RFC3339))
	case g.Site != "" && g.Site != r.Site:
		return fmt.Errorf("the token is for a site named %s", g.Site)
	case len(g.UsedBy) > 0 && (!bytes.Equal(g.UsedBy, r.Key) || g.UsedFor != r.Site):
		return errors.New("the token has been used: make a new one with dicomesh token")
	case len(g.UsedBy) > 0:
		return nil
	}
	if row, err := i.Roster().Site(r.Site); err == nil && row.Key != roster.Key(r.Key) {
		return &TakenError{r.Site}
	}
	g.UsedBy, g.UsedFor = r.Key, r.Site
	return putGrant(i.fsys, id, g)
}

// enter puts a site into the roster, or finds that it is in it: it asked before and did not hear the answer.
func (i *Identity) enter(r request, role roster.Role) (roster.Site, error) {
	want := roster.Site{Name: r.Site, Key: roster.Key(r.Key), Operator: roster.Key(r.Operator), Role: role, Addresses: r.Addresses, Status: roster.Active, By: i.Name}
	if row, err := i.Roster().Site(r.Site); err == nil && row.Key == want.Key && row.Operator == want.Operator {
		return row, nil
	}
	err := i.change(func(now roster.Roster, operator ed25519.PrivateKey) (roster.Roster, error) {
		return now.With(want, operator)
	})
	return want, err
}
