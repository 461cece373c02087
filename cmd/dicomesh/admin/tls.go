package admin

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

// Access is how the HTTP port is reached and who is let in.
type Access struct {
	Required  bool     // a token or a certificate is shown, or nothing is answered
	TLS       *KeyPair // nil: the port speaks in clear
	Operators []string // common names of clients' certificates that may operate
}

// KeyPair is a certificate with its key, as it lies on disk: it is read again when its file changes, so that a renewed one is used without a restart.
type KeyPair struct {
	certificate, key string
	clients          *x509.CertPool

	mu     sync.Mutex // guards what follows
	now    *tls.Certificate
	read   fs.FileInfo
	failed error
}

// ErrFiles says that the PEM files of a port cannot be used.
var ErrFiles = errors.New("the TLS files cannot be used")

// OpenKeyPair reads PEM files, or says which cannot be used (ErrFiles); clients names the authorities whose certificates are taken of who calls, "" none.
func OpenKeyPair(certificate, key, clients string) (*KeyPair, error) {
	c := &KeyPair{certificate: certificate, key: key}
	if _, err := c.current(); err != nil {
		return nil, fmt.Errorf("%w: certificate and key: %w", ErrFiles, explained(err, certificate, key))
	}
	if clients == "" {
		return c, nil
	}
	text, err := os.ReadFile(clients)
	if err != nil {
		return nil, fmt.Errorf("%w: clients: %w", ErrFiles, err)
	}
	c.clients = x509.NewCertPool()
	if !c.clients.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%w: clients: %s has no certificate in PEM form", ErrFiles, clients)
	}
	return c, nil
}

// explained says of files in forms that authorities give out, and that cannot be used as they are, how to turn them into such that can.
func explained(err error, certificate, key string) error {
	text, _ := os.ReadFile(key) // where it cannot be read err says so
	if bytes.Contains(text, []byte("ENCRYPTED")) {
		return fmt.Errorf("%s is locked with a passphrase, and nobody is there to type it: openssl pkey -in %s -out NEW, readable by the agent's user alone", key, key)
	}
	if text, _ = os.ReadFile(certificate); bytes.HasPrefix(text, []byte{0x30, 0x82}) {
		return fmt.Errorf("%s is in DER form, or PKCS #12: openssl x509 -inform der -in %s -out NEW, or openssl pkcs12 -nodes -in %s -out NEW", certificate, certificate, certificate)
	}
	return err
}

// current is what the files hold now. One that cannot be read, as in the middle of a renewal, leaves the one of before in use.
func (c *KeyPair) current() (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(c.certificate)
	if err == nil && c.read != nil && info.ModTime().Equal(c.read.ModTime()) && os.SameFile(info, c.read) && c.failed == nil {
		return c.now, nil
	}
	pair, err := tls.LoadX509KeyPair(c.certificate, c.key)
	c.failed = err
	if err != nil && c.now != nil {
		return c.now, nil
	}
	if err != nil {
		return nil, err
	}
	c.now, c.read = &pair, info
	return c.now, nil
}

// Until is when the certificate ends; the zero time where there is none.
func (c *KeyPair) Until() time.Time {
	if c == nil {
		return time.Time{}
	}
	now, err := c.current()
	if err != nil || now.Leaf == nil {
		return time.Time{}
	}
	return now.Leaf.NotAfter
}

// Ending says of a certificate that it ends within a week, has ended, or, by this machine's clock, has not begun; "" of one that is well, or none.
func (c *KeyPair) Ending(now time.Time) string {
	const soon = 7 * 24 * time.Hour
	if c == nil {
		return ""
	}
	pair, err := c.current()
	if err != nil || pair.Leaf == nil {
		return ""
	}
	const renew = ": renew the files that http.tls names; they are read again by themselves"
	switch leaf := pair.Leaf; {
	case now.Before(leaf.NotBefore):
		return fmt.Sprintf("the certificate of the HTTP port begins on %s, and this machine's clock says %s: see which of both is wrong", leaf.NotBefore.Format(time.DateOnly), now.Format(time.DateOnly))
	case now.After(leaf.NotAfter):
		return "the certificate of the HTTP port ended on " + leaf.NotAfter.Format(time.DateOnly) + renew
	case now.Add(soon).After(leaf.NotAfter):
		return "the certificate of the HTTP port ends on " + leaf.NotAfter.Format(time.DateOnly) + renew
	}
	return ""
}

// config is how the port speaks TLS.
func (c *KeyPair) config() *tls.Config {
	t := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current() }}
	if c.clients != nil {
		t.ClientCAs, t.ClientAuth = c.clients, tls.VerifyClientCertIfGiven
	}
	return t
}
