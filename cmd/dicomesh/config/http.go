package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// check refuses what would let others see patients' images without having to say who they are.
func (h HTTP) check() error {
	return errors.Join(h.checkAddress(), h.checkTLS(), oneOf("http.access", h.Access, Open, Required),
		oneOf("http.study_names", h.StudyNames, Short, UID), h.checkOrigins())
}

// checkAddress holds that an address that others on the network reach has TLS and asks who they are. What is missing is said all at once.
func (h HTTP) checkAddress() error {
	local, err := Local(h.Address)
	switch {
	case err != nil:
		return fmt.Errorf("http.address: %w", err)
	case local:
		return nil
	}
	var missing []string
	if h.TLS.Certificate == "" {
		missing = append(missing, "http.tls.certificate and http.tls.key to PEM files")
	}
	if h.Access != Required {
		missing = append(missing, "http.access to "+Required+" (then make a token for each who may look: dicomesh access add NAME)")
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("http.address: %s can be reached by others, and patients' images are behind it: set %s; "+
		"or leave it on 127.0.0.1 and put a reverse proxy with TLS and passwords before it (its name goes into http.hosts)", h.Address, strings.Join(missing, ", and "))
}

// Local reports whether an address, as host:port, is reached from this machine alone. The error says what is wrong with it.
func Local(address string) (bool, error) {
	host, port, ok := cutPort(address)
	if !ok {
		return false, fmt.Errorf("%q is no address: write host:port, as 127.0.0.1:8730", address)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return false, fmt.Errorf("%q is no address: its port is a number up to 65535, or 0 for a free one", address)
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback(), nil
}

func (h HTTP) checkTLS() error {
	t := h.TLS
	switch {
	case (t.Certificate == "") != (t.Key == ""):
		return errors.New("http.tls: certificate and key go together: set both, or neither")
	case t.Clients != "" && t.Certificate == "":
		return errors.New("http.tls.clients: needs http.tls.certificate and http.tls.key: without TLS nobody shows a certificate")
	case len(t.Operators) > 0 && t.Clients == "":
		return errors.New("http.tls.operators: needs http.tls.clients: the authority whose certificates they have")
	}
	return nil
}

// CheckOrigins says which of these is no origin of web pages.
func CheckOrigins(origins []string) error {
	for _, o := range origins {
		u, err := url.Parse(o)
		if o != "*" && (err != nil || u.Scheme == "" || u.Host == "" || o != u.Scheme+"://"+u.Host) {
			return fmt.Errorf("%q is no origin: write it as https://viewer.example.org, without a path, or * for all", o)
		}
	}
	return nil
}

func (h HTTP) checkOrigins() error {
	if err := CheckOrigins(h.Origins); err != nil {
		return fmt.Errorf("http.origins: %w", err)
	}
	return nil
}
