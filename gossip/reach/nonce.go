package reach

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/dicomesh/dicomesh/gossip/roster"
)

// Nonce is drawn when an echo begins, so an answer that has it cannot be older.
type Nonce [32]byte

func (n Nonce) String() string { return hex.EncodeToString(n[:]) }

// question is what an echo asks one site. It goes to that site, or to one neighbour of both that hands it on.
type question struct {
	nonce   Nonce
	asker   string
	to      string
	cluster Cluster // that it is for; not sent
}

// Answered is a site's answer to a nonce.
type Answered struct {
	Site        string
	Epoch       roster.Epoch // of its roster
	Boot        uint64       // of its process
	Incarnation string       // of its index: what it said of studies under another one is void
}

// The forms. A question is the byte, the nonce, and the names of who asks and who is asked. An answer is the byte, nonce, asker, site, epoch, boot,
// incarnation, and a signature of the site for all before it.
const (
	questionForm = 1
	answerForm   = 1
	signedAnswer = "dicomesh reach answer 1\x00"
)

func (q question) encode() []byte {
	b := append([]byte{questionForm}, q.nonce[:]...)
	return appendText(appendText(b, q.asker), q.to)
}

// decodeQuestion reads a question, in its one form. ErrMalformed.
func decodeQuestion(b []byte) (question, error) {
	r := reader{rest: b}
	form := r.byte()
	q := question{nonce: Nonce(r.take(len(Nonce{}))), asker: r.name(), to: r.name()}
	if r.failed || form != questionForm || len(r.rest) > 0 || q.asker == q.to {
		return question{}, fmt.Errorf("question: %w", ErrMalformed)
	}
	return q, nil
}

// answer signs an answer to a question.
func (q question) answer(a Answered, key ed25519.PrivateKey) []byte {
	body := append([]byte{answerForm}, q.nonce[:]...)
	body = appendText(appendText(body, q.asker), a.Site)
	body = appendNumber(append(body, a.Epoch[:]...), a.Boot)
	body = appendText(body, a.Incarnation)
	return slices.Concat(body, ed25519.Sign(key, q.cluster.message(signedAnswer, string(body))))
}

// open reads an answer to this question and holds it to the key of who was asked. ErrMalformed, ErrRefused.
func (q question) open(b []byte, key roster.Key) (Answered, error) {
	r := reader{rest: b}
	form := r.byte()
	nonce, asker := Nonce(r.take(len(Nonce{}))), r.name()
	a := Answered{Site: r.name(), Epoch: roster.Epoch(r.take(len(roster.Epoch{}))), Boot: r.number(maxNumber), Incarnation: r.text(maxWord)}
	body := b[:len(b)-len(r.rest)]
	signature := r.take(ed25519.SignatureSize)
	if r.failed || form != answerForm || len(r.rest) > 0 {
		return Answered{}, fmt.Errorf("answer of %s: %w", q.to, ErrMalformed)
	}
	if nonce != q.nonce || asker != q.asker || a.Site != q.to || !ed25519.Verify(key[:], q.cluster.message(signedAnswer, string(body)), signature) {
		return Answered{}, fmt.Errorf("answer of %s: %w", q.to, ErrRefused)
	}
	return a, nil
}
