package link

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/quic-go/quic-go"
)

// bindingLabel and the 32 bytes exported under it tie a proof to one connection.
const bindingLabel = "EXPORTER-dicomesh-join"

func baseTLS(certificates ...tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           certificates,
		SessionTicketsDisabled: true, // a resumed session would carry yesterday's answer to who this is
		InsecureSkipVerify:     true, // VerifyConnection checks more: a pin, a name, an authority of ours
	}
}

// acceptTLS lets sites in by their certificates, and those who want to join without one, to where they can do nothing but ask.
func (e *Endpoint) acceptTLS() *tls.Config {
	outer := baseTLS(e.config.Certificate)
	outer.NextProtos = []string{protocolSite, protocolJoin}
	outer.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		from := hello.Conn.RemoteAddr()
		switch {
		case slices.Contains(hello.SupportedProtos, protocolSite):
			if door := e.door(); hello.ServerName != door {
				return nil, e.refuse("", from, "it does not know the name to ask for: it is of no cluster, or of another one")
			}
			c := baseTLS(e.config.Certificate)
			c.NextProtos = []string{protocolSite}
			c.ClientAuth = tls.RequestClientCert // and not Require: a client without one is to be told of as well
			c.VerifyConnection = func(cs tls.ConnectionState) error { return e.verify(cs, "", from) }
			return c, nil
		case slices.Contains(hello.SupportedProtos, protocolJoin) && e.config.Admit != nil:
			c := baseTLS(e.nameless)
			c.NextProtos = []string{protocolJoin}
			return c, nil
		}
		return nil, e.refuse("", from, fmt.Sprintf("it speaks %.60q and not %s", strings.Join(hello.SupportedProtos, " "), protocolSite))
	}
	return outer
}

// noDoor is asked for where there is no door: QUIC would put the address there.
const noDoor = "dicomesh"

func (e *Endpoint) door() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return cmp.Or(e.roster.Door, noDoor)
}

// dialTLS is for connections to the site of that name.
func (e *Endpoint) dialTLS(name string, to net.Addr) *tls.Config {
	c := baseTLS(e.config.Certificate)
	c.NextProtos, c.ServerName = []string{protocolSite}, e.door()
	c.VerifyConnection = func(cs tls.ConnectionState) error { return e.verify(cs, name, to) }
	return c
}

// verify is the door: name, pin and authority of the other end, which is to be the site dialled, if one was. The key itself was proven by TLS.
func (e *Endpoint) verify(cs tls.ConnectionState, dialled string, other net.Addr) error {
	name, err := e.judge(cs.PeerCertificates, dialled, other)
	switch {
	case errors.Is(err, errRival):
		e.tell(Event{Kind: Refused, Site: name, Address: other.String(), Reason: err.Error(), Rival: name})
		return fmt.Errorf("%w: %w", ErrRefused, err)
	case err != nil:
		return e.refuse(name, other, err.Error())
	}
	return nil
}

// errRival says that a name of the roster is claimed with another key.
var errRival = errors.New("two machines use one name, or it was set up anew")

// judge returns the name of the site that a certificate is of, or the name that it is known by and what is wrong.
func (e *Endpoint) judge(certificates []*x509.Certificate, dialled string, other net.Addr) (string, error) {
	e.mu.Lock()
	r := e.roster
	e.mu.Unlock()
	if len(certificates) == 0 {
		return dialled, errors.New("it shows no certificate")
	}
	leaf := certificates[0]
	name, err := nameIn(leaf, r.Cluster)
	if err != nil {
		return dialled, err
	}
	if dialled != "" && name != dialled {
		return dialled, fmt.Errorf("it is %.80q and not %s", name, dialled)
	}
	key, _ := leaf.PublicKey.(ed25519.PublicKey)
	at := slices.IndexFunc(r.Sites, func(s Site) bool { return s.Name == name })
	switch {
	case name == e.config.Name:
		return "", fmt.Errorf("it says that it is this site, %s", name)
	case at < 0:
		return "", fmt.Errorf("site %.80q is not in the roster, or was removed", name)
	case !bytes.Equal(key, r.Sites[at].Key):
		return name, fmt.Errorf("site %s is known with another key: %w", name, errRival)
	case !issued(leaf, r.Authorities):
		return name, fmt.Errorf("the certificate of site %s is from no authority of this cluster", name)
	}
	if now := time.Now(); now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		e.tell(Event{Kind: Warning, Site: name, Address: other.String(),
			Reason: fmt.Sprintf("the certificate is dated %s to %s, and the clock here says otherwise", leaf.NotBefore.Format(time.DateOnly), leaf.NotAfter.Format(time.DateOnly))})
	}
	return name, nil
}

// nameIn is the site that a certificate names: its one URI must be dicomesh://CLUSTER/SITE and nothing else.
func nameIn(leaf *x509.Certificate, cluster string) (string, error) {
	if len(leaf.URIs) != 1 {
		return "", fmt.Errorf("its certificate names %d URIs and not one", len(leaf.URIs))
	}
	uri := leaf.URIs[0].String()
	name, is := strings.CutPrefix(uri, "dicomesh://"+cluster+"/")
	if !is || name == "" || len(name) > MaxName || strings.ContainsAny(name, "/?#%@") {
		return "", fmt.Errorf("its certificate is for %.200q, not for a site of cluster %s", uri, cluster)
	}
	return name, nil
}

// issued says whether one of the authorities signed a certificate. There are no chains to build: an authority signs sites, and nothing else.
func issued(leaf *x509.Certificate, authorities []ed25519.PublicKey) bool {
	return leaf.SignatureAlgorithm == x509.PureEd25519 && slices.ContainsFunc(authorities, func(key ed25519.PublicKey) bool {
		return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, leaf.RawTBSCertificate, leaf.Signature)
	})
}

// refuse tells of somebody who was turned away, and is the error that ends the handshake. The other end hears of it no more than that it happened.
func (e *Endpoint) refuse(site string, other net.Addr, reason string) error {
	e.tell(Event{Kind: Refused, Site: site, Address: other.String(), Reason: reason})
	return fmt.Errorf("%w: %s", ErrRefused, reason)
}

// namelessCertificate shows a key and nothing else: a stranger who asks to join learns neither the cluster's name nor the site's.
func namelessCertificate(key ed25519.PrivateKey) (tls.Certificate, error) {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a certificate for joining: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// resetKey lets the other end of a connection of an earlier process of this site learn at once that it is gone.
func resetKey(key ed25519.PrivateKey) *quic.StatelessResetKey {
	sum := quic.StatelessResetKey(sha256.Sum256(append([]byte("dicomesh stateless reset\x00"), key.Seed()...)))
	return &sum
}
