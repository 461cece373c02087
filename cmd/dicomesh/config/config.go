// Package config is what an operator may set: one YAML file, read into one struct that is checked as a whole.
//
// Every key has a default, so a site without a file runs. The annotated file (Annotated, which `dicomesh agent --default-config` prints) is the reference:
// it lists every key with its default and what it means, and a test holds that it and Defaults say the same.
//
// What is not understood is an error, with its line and the key that was probably meant: a setting that is silently ignored is one that somebody
// relies on. All mistakes of a file are told at once.
package config

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is everything that can be set, checked. Paths are absolute once Load or In has placed them.
type Config struct {
	Listen  string  `yaml:"listen"` // UDP address for other sites, host:port
	Links   Links   `yaml:"links"`
	HTTP    HTTP    `yaml:"http"`
	Paths   Paths   `yaml:"paths"`
	Log     Log     `yaml:"log"`
	Inbox   Inbox   `yaml:"inbox"`
	Watch   Watch   `yaml:"watch"`
	Settle  Settle  `yaml:"settle"`
	Regen   Regen   `yaml:"regen"`
	Current Current `yaml:"current"`
	Combine Combine `yaml:"combine"`
	Disk    Disk    `yaml:"disk"`
}

// Links is how links to other sites are measured, and what they may carry.
type Links struct {
	Profile string `yaml:"profile"` // lan or wan
	Limit   Rate   `yaml:"limit"`   // of what goes to each other site in bulk; 0: there is none
}

// HTTP is the port for people, viewers and monitoring.
type HTTP struct {
	Address string   `yaml:"address"` // host:port; port 0 takes a free one
	Access  string   `yaml:"access"`  // open or required: whether somebody has to show a token or a certificate
	TLS     TLS      `yaml:"tls"`
	Hosts   []string `yaml:"hosts"`   // names besides localhost under which an open port is asked for: those of a reverse proxy
	Origins []string `yaml:"origins"` // of web pages that may read DICOMweb answers in a browser; * for all
	// StudyNames is what the status page calls studies: short (by a keyed hash of their UIDs) or uid.
	StudyNames string `yaml:"study_names"`
}

// TLS is what the HTTP port is encrypted with. The files are read again when they change.
type TLS struct {
	Certificate string   `yaml:"certificate"` // PEM file with the chain; "": no TLS
	Key         string   `yaml:"key"`         // PEM file
	Clients     string   `yaml:"clients"`     // PEM file of authorities: whoever has a certificate of theirs may read
	Operators   []string `yaml:"operators"`   // and whose common name is one of these may operate
}

// The words of HTTP.Access and HTTP.StudyNames.
const (
	Open     = "open"
	Required = "required"
	Short    = "short"
	UID      = "uid"
)

// Paths are the folders of a site. Relative ones lie in the data folder.
type Paths struct {
	Tree       string `yaml:"tree"`
	Current    string `yaml:"current"`
	State      string `yaml:"state"`
	Inbox      string `yaml:"inbox"`
	Quarantine string `yaml:"quarantine"`
}

// Log is what is written to stderr.
type Log struct {
	Level  slog.Level `yaml:"level"`
	Format string     `yaml:"format"` // text or json
}

// Inbox is how files that are dropped into the inbox are taken.
type Inbox struct {
	Quiet    Duration `yaml:"quiet"`    // a file that nobody writes and that has not changed for so long is complete
	Patience Duration `yaml:"patience"` // the same where the system does not tell who writes, and for files that end too early
	Workers  int      `yaml:"workers"`  // files that are taken apart at the same time
}

// Watch is how files that appear in the tree by other ways are noticed.
type Watch struct {
	Hot    int      `yaml:"hot"`    // studies whose folders are watched
	Rescan Duration `yaml:"rescan"` // all other studies are looked at once in this time
	// Patience is how long a list or instance file may be there unfinished, and not change, before it is said to be torn.
	Patience Duration `yaml:"patience"`
}

// Settle is when a study is published.
type Settle struct {
	Quiet       Duration `yaml:"quiet"`        // how long a study must not change before it is generated
	QuietMax    Duration `yaml:"quiet_max"`    // that time grows while a study keeps changing, up to this
	Cap         Duration `yaml:"cap"`          // a study that never rests is generated all the same after this long
	WhenPartial string   `yaml:"when_partial"` // hold or settle
	WhenSplit   string   `yaml:"when_split"`   // hold or provisional
}

// Regen is how current files are made.
type Regen struct {
	Workers    int  `yaml:"workers"` // studies that are generated at the same time
	Thumbnails bool `yaml:"thumbnails"`
}

// Current is how large the current tree may be.
type Current struct {
	MaxSize Size     `yaml:"max_size"` // above this the files of the least used studies are removed; 0: never
	Keep    Duration `yaml:"keep"`     // those of a study that was asked for, or made, so recently stay
}

// Combine is how the archive is kept small.
type Combine struct {
	Enabled bool     `yaml:"enabled"`
	After   Duration `yaml:"after"` // a study that has been settled for so long is combined
	Grace   Duration `yaml:"grace"` // instance files stay for so long after that
	Keep    Duration `yaml:"keep"`  // lists that were replaced stay for so long
}

// Disk is how much room must stay.
type Disk struct {
	Watermark        Size `yaml:"watermark"`         // below the greater of this
	WatermarkPercent int  `yaml:"watermark_percent"` // and this share of the disk the site says that it is low
	Floor            Size `yaml:"floor"`             // below this nothing new is taken
}

//go:embed dicomesh.yaml
var annotated string

// Annotated is the text of a file that sets every key to its default and explains it.
func Annotated() string { return annotated }

// Defaults are what holds where nothing is set.
func Defaults() Config {
	return Config{
		Listen: ":8730",
		Links:  Links{Profile: "wan"},
		HTTP:   HTTP{Address: "127.0.0.1:8730", Access: Open, StudyNames: Short},
		Paths:  Paths{Tree: "tree", Current: "current", State: "state", Inbox: "inbox", Quarantine: "quarantine"},
		Log:    Log{Level: slog.LevelInfo, Format: "text"},
		Inbox:  Inbox{Quiet: Duration(300 * time.Millisecond), Patience: Duration(time.Minute), Workers: 2},
		Watch:  Watch{Hot: 4096, Rescan: Duration(5 * time.Minute), Patience: Duration(10 * time.Minute)},
		Settle: Settle{Quiet: Duration(time.Second), QuietMax: Duration(30 * time.Second), Cap: Duration(2 * time.Minute),
			WhenPartial: "hold", WhenSplit: "hold"},
		Regen:   Regen{Workers: 1, Thumbnails: true},
		Current: Current{Keep: Duration(10 * time.Minute)},
		Combine: Combine{Enabled: true, After: Duration(time.Minute), Grace: Duration(10 * time.Minute), Keep: Duration(24 * time.Hour)},
		Disk:    Disk{Watermark: 10 << 30, WatermarkPercent: 5, Floor: 1 << 30},
	}
}

// Load is the configuration of the site in folder data: the file, or, where it is "", data/config.yaml if there is one; Defaults for whatever
// it leaves out. Errors name the file and the line. It is not checked yet, because flags may follow: call Check.
func Load(data, file string) (Config, error) {
	c, named := Defaults(), file != ""
	if !named {
		file = filepath.Join(data, "config.yaml")
	}
	text, err := os.ReadFile(file)
	switch {
	case err == nil:
		err = c.Parse(file, text)
	case errors.Is(err, fs.ErrNotExist) && !named:
		err = nil
	}
	if err != nil {
		return Config{}, err
	}
	return c, c.place(data)
}

// place makes the paths absolute.
func (c *Config) place(data string) error {
	for _, p := range []*string{&c.Paths.Tree, &c.Paths.Current, &c.Paths.State, &c.Paths.Inbox, &c.Paths.Quarantine,
		&c.HTTP.TLS.Certificate, &c.HTTP.TLS.Key, &c.HTTP.TLS.Clients} {
		full := *p
		if full == "" {
			continue // Check has the sentence, where one is wanted
		}
		if !filepath.IsAbs(full) {
			full = filepath.Join(data, full)
		}
		full, err := filepath.Abs(full)
		if err != nil {
			return err
		}
		*p = full
	}
	return nil
}

// Check says everything that is wrong with the values, each with its key.
func (c *Config) Check() error {
	return errors.Join(
		checkListen(c.Listen),
		c.HTTP.check(),
		c.Paths.check(),
		oneOf("log.format", c.Log.Format, "text", "json"),
		atLeast("inbox.quiet", c.Inbox.Quiet, Duration(time.Millisecond)), atLeast("inbox.patience", c.Inbox.Patience, c.Inbox.Quiet), atLeast("inbox.workers", c.Inbox.Workers, 1),
		atLeast("watch.hot", c.Watch.Hot, 1), atLeast("watch.rescan", c.Watch.Rescan, Duration(time.Second)),
		atLeast("watch.patience", c.Watch.Patience, Duration(time.Second)),
		atLeast("settle.quiet", c.Settle.Quiet, Duration(time.Millisecond)), atLeast("settle.quiet_max", c.Settle.QuietMax, c.Settle.Quiet), atLeast("settle.cap", c.Settle.Cap, c.Settle.QuietMax),
		oneOf("links.profile", c.Links.Profile, "lan", "wan"), checkLimit(c.Links.Limit), oneOf("settle.when_partial", c.Settle.WhenPartial, "hold", "settle"), oneOf("settle.when_split", c.Settle.WhenSplit, "hold", "provisional"),
		atLeast("combine.after", c.Combine.After, Duration(time.Millisecond)), atLeast("combine.grace", c.Combine.Grace, 0), atLeast("combine.keep", c.Combine.Keep, Duration(24*time.Hour)),
		atLeast("regen.workers", c.Regen.Workers, 1), atLeast("current.max_size", c.Current.MaxSize, 0), atLeast("current.keep", c.Current.Keep, 0),
		atLeast("disk.watermark", c.Disk.Watermark, c.Disk.Floor), atLeast("disk.watermark_percent", c.Disk.WatermarkPercent, 0), atLeast("disk.floor", c.Disk.Floor, 0),
	)
}

// checkListen holds that the address for other sites is one.
func checkListen(address string) error {
	_, port, ok := cutPort(address)
	if _, err := strconv.ParseUint(port, 10, 16); !ok || err != nil {
		return fmt.Errorf("listen: %q is no address: write :port or host:port, as :8730", address)
	}
	return nil
}

// slowestLimit is what the time-outs of transfers allow for.
const slowestLimit = 256 * 1000 / 8

// checkLimit holds that a limit leaves something.
func checkLimit(limit Rate) error {
	if limit == 0 || limit >= slowestLimit {
		return nil
	}
	return fmt.Errorf("links.limit: %v is less than %v: write 0 for no limit", limit, Rate(slowestLimit))
}

// cutPort splits host:port, where the host may be in brackets.
func cutPort(address string) (host, port string, ok bool) {
	i := strings.LastIndexByte(address, ':')
	if i < 0 || i+1 == len(address) {
		return "", "", false
	}
	return strings.Trim(address[:i], "[]"), address[i+1:], true
}

// check holds that no folder is, or lies in, another one: what is dropped into the inbox must not be in the tree, and so on.
func (p Paths) check() error {
	type place struct{ key, path string }
	all := []place{{"paths.tree", p.Tree}, {"paths.current", p.Current}, {"paths.state", p.State}, {"paths.inbox", p.Inbox}, {"paths.quarantine", p.Quarantine}}
	var errs []error
	for i, a := range all {
		if a.path == "" {
			errs = append(errs, fmt.Errorf("%s: is empty: name a folder", a.key))
			continue
		}
		for j, b := range all {
			within := b.path != "" && i != j && strings.HasPrefix(a.path+string(filepath.Separator), b.path+string(filepath.Separator))
			if within && (a.path != b.path || i > j) {
				errs = append(errs, fmt.Errorf("%s: %s is in %s (%s): give each a folder of its own", a.key, a.path, b.path, b.key))
			}
		}
	}
	return errors.Join(errs...)
}

func oneOf(key, value string, words ...string) error {
	if slices.Contains(words, value) {
		return nil
	}
	return fmt.Errorf("%s: %q: write %s", key, value, strings.Join(words, " or "))
}

func atLeast[T interface {
	~int | ~int64
}](key string, value, least T) error {
	if value >= least {
		return nil
	}
	return fmt.Errorf("%s: %v is less than %v", key, value, least)
}
