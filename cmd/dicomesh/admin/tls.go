package admin

import (
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
		return nil, fmt.Errorf("%w: certificate and key: %w", ErrFiles, err)
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

// config is how the port speaks TLS.
func (c *KeyPair) config() *tls.Config {
	t := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current() }}
	if c.clients != nil {
		t.ClientCAs, t.ClientAuth = c.clients, tls.VerifyClientCertIfGiven
	}
	return t
}
