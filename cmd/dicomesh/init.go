package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/config"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/gossip/identity"
	"github.com/dicomesh/dicomesh/gossip/roster"
)

// initCommand makes a cluster.
type initCommand struct {
	setUp
	Cluster string `required:"" placeholder:"NAME" help:"Name of the cluster: lower-case letters, digits, '-' and '.'."`
}

// Help is shown by dicomesh init --help.
func (initCommand) Help() string {
	return `Makes a cluster of one site. Its keys lie in DIR/state; the recovery key is printed, and nowhere else: keep it on paper. With it a cluster can be
mended when all sites that may sign are lost or stolen.

What is in DIR/tree stays: a site that was alone until now becomes the first of a cluster.

Examples:

    dicomesh init --data site --cluster north --site a --listen 192.0.2.7:8730
    dicomesh agent --data site
    dicomesh token --data site`
}

// Run makes the cluster.
func (c *initCommand) Run(_ context.Context, t *terminal) error {
	if err := roster.CheckName(c.Cluster); err != nil {
		return fault{code: exitUsage, err: fmt.Errorf("--cluster: %w", err)}
	}
	fsys, addresses, err := c.open()
	if err != nil {
		return err
	}
	defer fsys.Close()
	recovery, err := identity.Create(fsys, identity.Founding{Cluster: c.Cluster, Site: c.Site, Listen: c.Listen, Addresses: addresses, Now: time.Now()})
	if err != nil {
		return c.cannot(err)
	}
	fmt.Fprintf(t.err, "Site %s is the first of cluster %s. Others reach it at %s.\n", c.Site, c.Cluster, strings.Join(addresses, ", "))
	fmt.Fprintln(t.err, "The recovery key of the cluster; keep it on paper, apart from the sites. It is not stored anywhere:")
	if _, err := fmt.Fprintln(t.out, recovery); err != nil {
		return fault{code: exitFault, err: fmt.Errorf("the recovery key could not be printed, and is lost: %w", err), next: "remove " + c.folder + ", and type the same again where it can be read"}
	}
	c.next(t.err, "let others join: dicomesh token --data "+c.Data)
	return nil
}

// setUp is what init and join have in common.
type setUp struct {
	Data    string   `required:"" placeholder:"DIR" env:"DICOMESH_DATA" help:"The site's folder; made if it is not there."`
	Config  string   `placeholder:"FILE" help:"The configuration (DIR/config.yaml, if it is there)."`
	Site    string   `required:"" placeholder:"NAME" help:"Name of this site: lower-case letters, digits, '-' and '.'."`
	Listen  string   `placeholder:"ADDR" help:"UDP address for other sites (:8730, or that of the configuration). A host in it is also where they are told to come."`
	Address []string `placeholder:"HOST:PORT" help:"Where others reach this site, if that is not the address that it listens on; may be given more than once."`
	folder  string
}

// open opens the state folder and says where others reach this site.
func (c *setUp) open() (*durable.OS, []string, error) {
	if err := roster.CheckName(c.Site); err != nil {
		return nil, nil, fault{code: exitUsage, err: fmt.Errorf("--site: %w", err)}
	}
	set, err := config.Load(c.Data, c.Config)
	if err != nil {
		return nil, nil, badConfig(err)
	}
	listen := c.Listen
	if listen == "" {
		listen = set.Listen
	}
	addresses, err := reachable(listen, c.Address)
	if err != nil {
		return nil, nil, fault{code: exitUsage, err: err}
	}
	c.folder = set.Paths.State
	fsys, err := makeState(c.folder)
	if err != nil {
		return nil, nil, fault{code: exitFault, err: err, next: "name a folder that can be written with --data DIR"}
	}
	return fsys, addresses, nil
}

// makeState opens a state folder, which only its owner may look into, and makes it if it is not there.
func makeState(folder string) (*durable.OS, error) {
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return nil, err
	}
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := os.Chmod(folder, 0o700); err != nil {
		return nil, err
	}
	return durable.OpenPrivate(folder)
}

// cannot says what to do when a site cannot be set up.
func (c *setUp) cannot(err error) error {
	if errors.Is(err, identity.ErrIs) {
		return fault{code: exitFault, err: fmt.Errorf("%s: %w", c.folder, err), next: "see which: dicomesh status --data " + c.Data + "; or name another folder with --data DIR"}
	}
	return fault{code: exitFault, err: err}
}

// next says what to type next.
func (c *setUp) next(w io.Writer, then string) {
	fmt.Fprintf(w, "Next, start it (if it runs, stop it first): dicomesh agent --data %s\n", c.Data)
	if then != "" {
		fmt.Fprintln(w, "Then", then)
	}
}

// reachable are the addresses that others are told: those given, else the one listened on, else those of this machine's interfaces.
func reachable(listen string, given []string) ([]string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, fmt.Errorf("--listen: %q is no address: a port is missing; write it as :8730, or 192.0.2.7:8730", listen)
	}
	if len(given) > 0 {
		for _, a := range given {
			if err := roster.CheckAddress(a); err != nil {
				return nil, fmt.Errorf("--address: %w", err)
			}
		}
		return given, nil
	}
	if port == "0" {
		return nil, errors.New("--listen with port 0: others must know the port, so choose one")
	}
	if ip, err := netip.ParseAddr(host); host != "" && (err != nil || !ip.IsUnspecified()) {
		return []string{listen}, roster.CheckAddress(listen)
	}
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("which addresses this machine has: %w (name one with --address)", err)
	}
	return ofMachine(interfaces, port), nil
}

// ofMachine are the addresses of interfaces that others may reach, or loopback's if there are none.
func ofMachine(interfaces []net.Addr, port string) []string {
	var addresses []string
	for _, a := range interfaces {
		if n, is := a.(*net.IPNet); is && n.IP.IsGlobalUnicast() {
			addresses = append(addresses, net.JoinHostPort(n.IP.String(), port))
		}
	}
	slices.SortStableFunc(addresses, func(a, b string) int { return strings.Count(a, "[") - strings.Count(b, "[") }) // IPv4 first
	if len(addresses) == 0 {
		return []string{net.JoinHostPort("127.0.0.1", port)}
	}
	return addresses[:min(len(addresses), roster.MaxAddresses)]
}
