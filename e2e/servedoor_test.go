package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestServeDoor holds that serve takes an address that others reach only with TLS and a way to know them, and then lets in who shows a token or a certificate, to read or to post.
func TestServeDoor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"tree", "current"} {
		if err := os.Mkdir(in(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	pair := certify(t, in("cert.pem"), in("key.pem"), "desk")
	token := func(args ...string) string {
		out, code := dicomesh(t, append([]string{"access", "add", "--data", in("who")}, args...)...)
		if code != 0 {
			t.Fatal(out)
		}
		return strings.TrimSpace(out)
	}
	read, operate := token("wall"), token("router", "--role", "operate")
	files := []string{"--current", in("current"), "--tree", in("tree"), "--http", "0.0.0.0:0"}
	for _, half := range [][]string{{}, {"--tls-certificate", in("cert.pem"), "--tls-key", in("key.pem")}, {"--tokens", in("who")}} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // one that is not refused serves for ever
		refused := exec.CommandContext(ctx, filepath.Join(binDir(), "dicomesh"), append(append([]string{"serve"}, files...), half...)...)
		if err := refused.Run(); refused.ProcessState.ExitCode() != 2 {
			t.Errorf("%v: %v", half, err)
		}
		cancel()
	}

	whole := append(files, "--tls-certificate", in("cert.pem"), "--tls-key", in("key.pem"), "--tls-clients", in("cert.pem"), "--tls-operator", "desk", "--tokens", in("who"))
	s := startServer(t, whole...)
	url := strings.Replace(s.url, "[::]", "127.0.0.1", 1)
	if !strings.HasPrefix(url, "https://") {
		t.Errorf("it listens at %s", url)
	}
	for _, c := range []struct {
		who    string
		token  string
		pair   []tls.Certificate
		get    int
		posted int
	}{
		{"nobody", "", nil, http.StatusUnauthorized, http.StatusUnauthorized},
		{"a stranger", "dicomesh-http-x", nil, http.StatusUnauthorized, http.StatusUnauthorized},
		{"a reader", read, nil, http.StatusNoContent, http.StatusForbidden},
		{"an operator", operate, nil, http.StatusNoContent, http.StatusConflict}, // what is posted is no instance
		{"an operator's certificate", "", []tls.Certificate{pair}, http.StatusNoContent, http.StatusConflict},
	} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: c.pair}, DisableKeepAlives: true}}
		for method, want := range map[string]int{http.MethodGet: c.get, http.MethodPost: c.posted} {
			request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader("no"))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", "application/dicom")
			if c.token != "" {
				request.Header.Set("Authorization", "Bearer "+c.token)
			}
			answer, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			if _ = answer.Body.Close(); answer.StatusCode != want {
				t.Errorf("%s of %s is answered %s, want %d", method, c.who, answer.Status, want)
			}
		}
	}
	s.stop()
}

// certify writes a certificate, which is its own authority, and its key, and returns both.
func certify(t *testing.T, certificate, key, name string) tls.Certificate {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}
