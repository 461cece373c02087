package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/config"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// doorFlags say how a port that others reach is protected, where there is no configuration to say it.
type doorFlags struct {
	HTTP        string   `name:"http" default:"127.0.0.1:8730" placeholder:"ADDR" help:"Where to listen (${default}). With port 0 a free one is chosen and printed. An address that is not loopback needs TLS, and tokens or clients' certificates."`
	Certificate string   `name:"tls-certificate" placeholder:"FILE" help:"PEM file with the certificate of this port, which then speaks TLS. It is read again when it changes."`
	Key         string   `name:"tls-key" placeholder:"FILE" help:"PEM file with its key."`
	Clients     string   `name:"tls-clients" placeholder:"FILE" help:"PEM file of authorities: whoever shows a certificate of theirs may read."`
	Operators   []string `name:"tls-operator" placeholder:"NAME" help:"Common name of such a certificate that may also post. May be repeated."`
	CORS        []string `name:"cors" placeholder:"ORIGIN" help:"Pages of this origin may read answers in a browser, as https://viewer.example.org; * for all. May be repeated."`
	Tokens      string   `placeholder:"DIR" help:"Folder of tokens: whoever shows one may read, or post. They are made with: dicomesh access add --data DIR NAME"`
}

// check refuses what would let others see patients' images without having to say who they are. What is missing is said all at once.
func (d *doorFlags) check() error {
	see := "see: dicomesh serve --help"
	local, err := config.Local(d.HTTP)
	if err != nil {
		return fault{code: exitUsage, err: fmt.Errorf("--http: %w", err), next: see}
	}
	if err := config.CheckOrigins(d.CORS); err != nil {
		return fault{code: exitUsage, err: fmt.Errorf("--cors: %w", err), next: see}
	}
	switch {
	case (d.Certificate == "") != (d.Key == ""):
		return fault{code: exitUsage, err: errors.New("--tls-certificate and --tls-key go together: give both, or neither"), next: see}
	case d.Clients != "" && d.Certificate == "":
		return fault{code: exitUsage, err: errors.New("--tls-clients needs --tls-certificate and --tls-key: without TLS nobody shows a certificate"), next: see}
	case len(d.Operators) > 0 && d.Clients == "":
		return fault{code: exitUsage, err: errors.New("--tls-operator needs --tls-clients: the authority whose certificates they have"), next: see}
	case local:
		return nil
	}
	var missing []string
	if d.Certificate == "" {
		missing = append(missing, "--tls-certificate FILE --tls-key FILE")
	}
	if !d.asks() {
		missing = append(missing, "--tokens DIR (made with dicomesh access add --data DIR NAME) or --tls-clients FILE")
	}
	if len(missing) == 0 {
		return nil
	}
	return fault{code: exitUsage, err: fmt.Errorf("%s can be reached by others, and patients' images are behind it: that takes TLS, and that everybody shows who they are", d.HTTP),
		next: "add " + strings.Join(missing, ", and ") + "; or leave it on 127.0.0.1 and put a reverse proxy with TLS and passwords before it"}
}

// asks reports whether somebody has to show who they are.
func (d *doorFlags) asks() bool { return d.Tokens != "" || d.Clients != "" }

// open reads certificates and tokens. What is done in the end closes them.
func (d *doorFlags) open() (entry admin.Access, tokens durable.Reader, done func(), err error) {
	nothing := func() {}
	if err := d.check(); err != nil {
		return entry, nil, nothing, err
	}
	entry = admin.Access{Required: d.asks(), Operators: d.Operators}
	if d.Certificate != "" {
		if entry.TLS, err = admin.OpenKeyPair(d.Certificate, d.Key, d.Clients); err != nil {
			return entry, nil, nothing, fault{code: exitUsage, err: err, next: "name PEM files that this user may read with --tls-certificate, --tls-key and --tls-clients"}
		}
	}
	if d.Tokens == "" {
		return entry, noTree{}, nothing, nil
	}
	set, err := config.Load(d.Tokens, "")
	if err != nil {
		return entry, nil, nothing, badConfig(err)
	}
	state, err := durable.OpenPrivate(set.Paths.State)
	if err != nil {
		return entry, nil, nothing, fault{code: exitUsage, err: fmt.Errorf("--tokens: %w", err), next: "make the first one: dicomesh access add --data " + d.Tokens + " NAME"}
	}
	return entry, state, func() { _ = state.Close() }, nil // it was only read
}
