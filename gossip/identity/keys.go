package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base32"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/gossip/roster"
)

func parent(name string) string { return path.Dir(name) }

// newKey draws a key.
func newKey() (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

// loadKey reads a private key; fs.ErrNotExist if there is none.
func loadKey(fsys durable.Reader, name string) (ed25519.PrivateKey, error) {
	text, err := read(fsys, name)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%s is no private key in PEM", name)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	key, is := parsed.(ed25519.PrivateKey)
	if !is {
		return nil, fmt.Errorf("%s is not an Ed25519 key", name)
	}
	return key, nil
}

// ensureKey reads a key, or draws one and keeps it: whoever was interrupted goes on with the same one.
func ensureKey(fsys durable.FS, name string) (ed25519.PrivateKey, error) {
	key, err := loadKey(fsys, name)
	if !missing(err) {
		return key, err
	}
	if key, err = newKey(); err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, durable.WriteFile(fsys, name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// validFor is how long certificates are dated. Nobody is refused for a date, so it only says how old a certificate is.
const validFor = 10 * 365 * 24 * time.Hour

// issue makes a site's certificate. issuer is the word for whose key signs it.
func issue(cluster, site string, key roster.Key, issuer string, signer ed25519.PrivateKey, now time.Time) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	subject, authority := &x509.Certificate{
		SerialNumber: serial, NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(validFor),
		URIs:        []*url.URL{{Scheme: "dicomesh", Host: cluster, Path: "/" + site}},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, &x509.Certificate{SerialNumber: big.NewInt(1)}
	subject.Subject.CommonName, authority.Subject.CommonName = site+" of "+cluster, issuer
	return x509.CreateCertificate(rand.Reader, subject, authority, ed25519.PublicKey(key[:]), signer)
}

// checkCertificate says whether a certificate is that of a site and from an issuer that the roster knows.
func checkCertificate(der []byte, cluster, site string, key roster.Key, issuers []roster.Key) error {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	if shown, is := c.PublicKey.(ed25519.PublicKey); !is || roster.Key(shown) != key {
		return errors.New("the certificate is for another key")
	}
	if len(c.URIs) != 1 || c.URIs[0].String() != "dicomesh://"+cluster+"/"+site {
		return fmt.Errorf("the certificate is not for site %s of cluster %s", site, cluster)
	}
	for _, k := range issuers {
		if c.SignatureAlgorithm == x509.PureEd25519 && ed25519.Verify(k[:], c.RawTBSCertificate, c.Signature) {
			return nil
		}
	}
	return errors.New("the certificate is from no authority of the cluster")
}

const recoveryPrefix = "dicomesh-recovery-"

var recoveryForm = base32.StdEncoding.WithPadding(base32.NoPadding)

// formatRecovery writes a root key for paper: base32 with a checksum, in groups of five.
func formatRecovery(key ed25519.PrivateKey) string {
	seed := key.Seed()
	sum := sha256.Sum256(seed)
	text := recoveryForm.EncodeToString(append(seed, sum[:3]...)) // 35 bytes are 56 characters
	var groups []string
	for i := 0; i < len(text); i += 7 {
		groups = append(groups, text[i:min(len(text), i+7)])
	}
	return recoveryPrefix + strings.Join(groups, "-")
}

// ParseRecovery reads a recovery key, as Create gave it; case and white space do not matter. It may sign whatever an operator may, and removes operators.
func ParseRecovery(text string) (ed25519.PrivateKey, error) {
	text = strings.ToUpper(strings.Join(strings.Fields(text), ""))
	body, is := strings.CutPrefix(text, strings.ToUpper(recoveryPrefix))
	raw, err := recoveryForm.DecodeString(strings.ReplaceAll(body, "-", ""))
	if !is || err != nil || len(raw) != ed25519.SeedSize+3 {
		return nil, fmt.Errorf("that is no recovery key: it begins with %s and has 56 more letters and digits", recoveryPrefix)
	}
	if sum := sha256.Sum256(raw[:ed25519.SeedSize]); string(sum[:3]) != string(raw[ed25519.SeedSize:]) {
		return nil, errors.New("that recovery key has a typing error in it")
	}
	return ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize]), nil
}
