package roster

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// Limits of a roster. They bound what a hostile one can cost.
const (
	MaxName      = 63 // bytes of a site's or cluster's name
	MaxAddresses = 8
	MaxLinks     = 256
	MaxRecords   = 4096
	MaxEncoded   = 4 << 20
	maxRecord    = 32 << 10
)

// Key is an Ed25519 public key.
type Key [ed25519.PublicKeySize]byte

// KeyOf is the public half of a private key.
func KeyOf(private ed25519.PrivateKey) Key { return Key(private.Public().(ed25519.PublicKey)) }

// IsZero says that there is no key.
func (k Key) IsZero() bool { return k == Key{} }

// String is for people: enough of the key to tell it from others.
func (k Key) String() string { return base64.RawURLEncoding.EncodeToString(k[:])[:12] }

// Role is what a site does for the cluster.
type Role string

// The roles: both hold everything; a standby is where clients are sent when the others are gone.
const (
	Full    Role = "full"
	Standby Role = "standby"
)

// ErrEdge refuses the role that is to come.
var ErrEdge = errors.New("the role edge (a site that holds its own studies alone) is not offered yet; use full or standby")

// ParseRole reads a role.
func ParseRole(text string) (Role, error) {
	switch r := Role(text); r {
	case Full, Standby:
		return r, nil
	case "edge":
		return "", ErrEdge
	}
	return "", fmt.Errorf("role %q is neither full nor standby", text)
}

// Status is how the roster counts a site.
type Status string

// The statuses. An acknowledged-down site is not waited for until its time is over; a removed one never again.
const (
	Active  Status = "active"
	AckDown Status = "acknowledged-down"
	Removed Status = "decommissioned"
)

// Site is what the roster says of one member.
type Site struct {
	Name      string
	Key       Key    // of its certificate and of its links
	Operator  Key    // with which it may sign records; zero if it may not
	Admission uint64 // which admission to the cluster this was, from 1; With gives a new member the next
	Role      Role
	Addresses []string // host:port, where others reach it; none for a site that can only dial out
	Links     []string // sites that it is expected to have links with; nil: the rule of Links
	Status    Status
	Until     time.Time // of AckDown, in whole seconds
	By        string    // who said so, for people: the site at which the operator typed it
}

// DialOnly says that nobody can dial this site.
func (s Site) DialOnly() bool { return len(s.Addresses) == 0 }

// Counts says whether the cluster waits for this site at that time.
func (s Site) Counts(now time.Time) bool {
	return s.Status == Active || s.Status == AckDown && !now.Before(s.Until)
}

var nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)

// CheckName says what is wrong with the name of a site or a cluster, or nothing. Names go into certificates, addresses, metrics and file names,
// and must not differ by case alone.
func CheckName(name string) error {
	if len(name) > MaxName || !nameForm.MatchString(name) {
		return fmt.Errorf("name %.80q: use at most %d lower-case letters, digits, '-' and '.', with a letter or digit at both ends", name, MaxName)
	}
	return nil
}

// CheckAddress says what is wrong with an address that others are to dial, or nothing.
func CheckAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("address %.80q: a port is missing, or has no colon before it: write host:port", address)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("address %.80q: the port must be a number from 1 to 65535", address)
	}
	if ip := net.ParseIP(host); host == "" || len(host) > 253 || ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("address %.80q names no host that others could reach", address)
	}
	return nil
}

// check says what is wrong with a site's row, or nothing.
func (s Site) check() error {
	if err := CheckName(s.Name); err != nil {
		return err
	}
	if s.Key.IsZero() || s.Key == s.Operator {
		return fmt.Errorf("site %s: no key, or one key for two uses", s.Name)
	}
	if _, err := ParseRole(string(s.Role)); err != nil {
		return fmt.Errorf("site %s: %w", s.Name, err)
	}
	switch s.Status {
	case Active, AckDown, Removed:
	default:
		return fmt.Errorf("site %s: status %.40q is none", s.Name, s.Status)
	}
	if (s.Status == AckDown) == s.Until.IsZero() || s.Until.Nanosecond() != 0 || !s.Until.IsZero() && s.Until.Unix() <= 0 {
		return fmt.Errorf("site %s: the end of an acknowledgement must be a whole second, and only there", s.Name)
	}
	if len(s.By) > MaxName {
		return fmt.Errorf("site %s: who said so is longer than %d bytes", s.Name, MaxName)
	}
	return s.checkLists()
}

func (s Site) checkLists() error {
	if len(s.Addresses) > MaxAddresses || len(s.Links) > MaxLinks {
		return fmt.Errorf("site %s: more than %d addresses or %d links", s.Name, MaxAddresses, MaxLinks)
	}
	for _, a := range s.Addresses {
		if err := CheckAddress(a); err != nil {
			return fmt.Errorf("site %s: %w", s.Name, err)
		}
	}
	for _, l := range s.Links {
		if err := CheckName(l); err != nil {
			return fmt.Errorf("site %s: link: %w", s.Name, err)
		}
	}
	if !slices.IsSorted(s.Links) || len(slices.Compact(slices.Clone(s.Links))) != len(s.Links) {
		return fmt.Errorf("site %s: its links are not sorted, or named twice", s.Name)
	}
	return nil
}
