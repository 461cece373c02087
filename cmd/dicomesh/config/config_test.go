package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"
)

// TestAnnotated holds that the annotated file sets every key, and each to its default.
func TestAnnotated(t *testing.T) {
	given := blank()
	if err := given.Parse("dicomesh.yaml", []byte(Annotated())); err != nil {
		t.Fatal(err)
	}
	if want := Defaults(); !reflect.DeepEqual(given, want) {
		t.Errorf("the annotated file says\n%+v\nthe defaults are\n%+v", given, want)
	}
	var raw map[string]any
	if err := yaml.Unmarshal([]byte(Annotated()), &raw); err != nil {
		t.Fatal(err)
	}
	for _, key := range Keys() {
		at, found := any(raw), false
		for word := range strings.SplitSeq(key, ".") {
			m, _ := at.(map[string]any)
			if at, found = m[word]; !found {
				t.Errorf("the annotated file does not tell of %s", key)
				break
			}
		}
	}
}

// blank has nothing of the defaults, so that a key which the file leaves out shows.
func blank() Config { return Config{} }

// TestDefaultsCheck holds that a site without a file runs.
func TestDefaultsCheck(t *testing.T) {
	data := t.TempDir()
	c, err := Load(data, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	if want := filepath.Join(data, "tree"); c.Paths.Tree != want {
		t.Errorf("the tree is %s, want %s", c.Paths.Tree, want)
	}
}

// TestMistakes holds what an operator reads after a slip.
func TestMistakes(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"a letter too many", "settle:\n  quiett: 2s\n", "f:2: unknown key settle.quiett: did you mean settle.quiet?"},
		{"heading misspelt", "settel:\n  quiet: 2s\n", "f:1: unknown key settel: did you mean settle?"},
		{"under the wrong heading", "inbox:\n  thumbnails: false\n", "f:2: unknown key inbox.thumbnails: did you mean regen.thumbnails?"},
		{"at the top", "rescan: 2s\n", "f:1: unknown key rescan: did you mean watch.rescan?"},
		{"no unit", "settle:\n  quiet: 5\n", `f:2: settle.quiet: "5" is not a length of time: write 500ms, 2s, 10m or 1h30m`},
		{"no size", "disk:\n  floor: much\n", `f:2: disk.floor: "much" is not a size: write 512 MiB, 10 GiB or 2 TB`},
		{"no rate", "links:\n  limit: 20\n", `f:2: links.limit: "20" is not a rate: write 20 Mbit/s, 1 Gbit/s or 2.5 MB/s, or 0 for none`},
		{"no number", "regen:\n  workers: two\n", `f:2: regen.workers: "two" is not a whole number`},
		{"no answer", "regen:\n  thumbnails: maybe\n", `f:2: regen.thumbnails: "maybe": write true or false`},
		{"no level", "log:\n  level: loud\n", `f:2: log.level: slog: level string "loud": unknown name`},
		{"value for a heading", "log: debug\n", "f:1: log: wants keys below it, as level, format"},
		{"list for a value", "listen: [a]\n", "f:1: listen: wants one value"},
		{"value for a list", "http:\n  hosts: a\n", "f:2: http.hosts: wants a list, as [a, b]"},
		{"set twice", "log:\n  level: info\n  format: json\n  level: warn\n", "f:4: log.level is set in line 2 already"},
		{"nothing after the colon", "listen:\n", "f:1: listen: is empty: give a value, or leave the key out for the default"},
		{"two mistakes", "a: 1\nregen:\n  workers: x\n", "f:1: unknown key a: see dicomesh agent --default-config\nf:2: regen.workers: \"x\" is not a whole number"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Defaults()
			err := c.Parse("f", []byte(tt.text))
			if got := text(err); !sameLines(got, tt.want) {
				t.Errorf("%q\nsays: %s\nwant: %s", tt.text, got, tt.want)
			}
		})
	}
}

// sameLines compares what is said, whatever line the second mistake of a case is in.
func sameLines(got, want string) bool {
	if strings.Contains(want, "\n") {
		first, second, _ := strings.Cut(want, "\n")
		return strings.HasPrefix(got, first+"\n") && strings.Contains(got, strings.SplitN(second, ": ", 2)[1])
	}
	return got == want
}

func text(err error) string {
	if err == nil {
		return "nothing"
	}
	return err.Error()
}

// TestNotYAML holds that a file that is no YAML at all is told with its line, and that an empty one is none.
func TestNotYAML(t *testing.T) {
	c := Defaults()
	if err := c.Parse("f", []byte("log:\n\tlevel: info\n")); err == nil || !strings.HasPrefix(err.Error(), "f: ") || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a tab: %v", err)
	}
	for _, empty := range []string{"", "# nothing\n", "log:\n  # level: debug\n"} {
		if err := c.Parse("f", []byte(empty)); err != nil || !reflect.DeepEqual(c, Defaults()) {
			t.Errorf("%q: %v", empty, err)
		}
	}
}

// TestCheck holds that values which make no sense together are refused by name.
func TestCheck(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"outside address", func(c *Config) { c.HTTP.Address = "0.0.0.0:8730" }, "http.address: 0.0.0.0:8730 can be reached by others"},
		{"all addresses", func(c *Config) { c.HTTP.Address = ":8730" }, "http.address: :8730 can be reached by others"},
		{"a name", func(c *Config) { c.HTTP.Address = "pacs.example.org:80" }, "http.address: pacs.example.org:80 can be reached by others"},
		{"outside, open", func(c *Config) { c.HTTP.Address, c.HTTP.TLS = ":1", TLS{Certificate: "/c", Key: "/k"} },
			"http.address: :1 can be reached by others, and patients' images are behind it: set http.access to required (then make a token"},
		{"outside, in clear", func(c *Config) { c.HTTP.Address, c.HTTP.Access = ":1", Required },
			"http.address: :1 can be reached by others, and patients' images are behind it: set http.tls.certificate and http.tls.key to PEM files; or"},
		{"half of TLS", func(c *Config) { c.HTTP.TLS.Key = "/k" }, "http.tls: certificate and key go together"},
		{"certificates of clients alone", func(c *Config) { c.HTTP.TLS.Clients = "/a" }, "http.tls.clients: needs http.tls.certificate"},
		{"operators of nobody", func(c *Config) { c.HTTP.TLS = TLS{Certificate: "/c", Key: "/k", Operators: []string{"a"}} }, "http.tls.operators: needs http.tls.clients"},
		{"an unknown access", func(c *Config) { c.HTTP.Access = "none" }, `http.access: "none": write open or required`},
		{"no port", func(c *Config) { c.HTTP.Address = "localhost" }, `http.address: "localhost" is no address`},
		{"one in another", func(c *Config) { c.Paths.Inbox = c.Paths.Tree + "/in" }, "paths.inbox: "},
		{"one and the same", func(c *Config) { c.Paths.Current = c.Paths.Tree }, "paths.current: "},
		{"no folder", func(c *Config) { c.Paths.State = "" }, "paths.state: is empty"},
		{"quiet above its most", func(c *Config) { c.Settle.Quiet = Duration(time.Hour) }, "settle.quiet_max: 30s is less than 1h0m0s"},
		{"a word", func(c *Config) { c.Settle.WhenSplit = "publish" }, `settle.when_split: "publish": write hold or provisional`},
		{"no workers", func(c *Config) { c.Inbox.Workers = 0 }, "inbox.workers: 0 is less than 1"},
		{"floor above the watermark", func(c *Config) { c.Disk.Floor = 1 << 40 }, "disk.watermark: 10 GiB is less than 1 TiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Defaults()
			if err := c.place(t.TempDir()); err != nil {
				t.Fatal(err)
			}
			tt.change(&c)
			if err := c.Check(); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("says: %v\nwant: %s", err, tt.want)
			}
		})
	}
	outside := Defaults()
	outside.HTTP.Address, outside.HTTP.Access, outside.HTTP.TLS = "0.0.0.0:443", Required, TLS{Certificate: "/c", Key: "/k", Clients: "/a", Operators: []string{"ops"}}
	if err := outside.HTTP.check(); err != nil {
		t.Error(err)
	}
	for _, address := range []string{"127.0.0.1:0", "[::1]:80", "localhost:8042", "127.9.9.9:1"} {
		c := Defaults()
		c.HTTP.Address = address
		if err := c.HTTP.check(); err != nil {
			t.Error(err)
		}
	}
}

// TestLoad holds where a file is looked for, and that a file that was named must be there.
func TestLoad(t *testing.T) {
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "config.yaml"), []byte("paths:\n  tree: /archive\nregen:\n  workers: 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(data, "")
	if err != nil || c.Regen.Workers != 7 || c.Paths.Tree != "/archive" || c.Paths.Inbox != filepath.Join(data, "inbox") {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := Load(data, filepath.Join(data, "other.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestUnits holds that sizes and times are read as they are printed.
func TestUnits(t *testing.T) {
	for _, n := range []Size{0, 1, 1000, 1 << 10, 3 << 20, 10 << 30, 5 << 40} {
		var back Size
		if err := back.UnmarshalText([]byte(n.String())); err != nil || back != n {
			t.Errorf("%d prints as %s, which reads as %d, %v", n, n, back, err)
		}
	}
	for text, want := range map[string]Size{"512": 512, "64MiB": 64 << 20, "2.5 GB": 2.5e9, " 1 kB ": 1000} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%q reads as %d, %v", text, s, err)
		}
	}
	for _, bad := range []string{"", "GiB", "-1 MB", "1 PiB", "1 mb", "9999999 TB", "NaN", "1e999"} {
		var s Size
		if err := s.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q reads as %d", bad, s)
		}
	}
}

// FuzzParse holds that no text makes the parser panic.
func FuzzParse(f *testing.F) {
	f.Add([]byte(Annotated()))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("log: &x {level: *x}\n"))
	f.Add([]byte("<<: {log: 1}\n? [1]\n: 2\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c := Defaults()
		_ = c.Parse("f", text) // any error will do
	})
}

// TestRates holds that a rate is read as it is written, and printed so that it is read as the same.
func TestRates(t *testing.T) {
	for text, want := range map[string]Rate{"0": 0, "20 Mbit/s": 2_500_000, "1Gbit/s": 125_000_000, "512 kbit/s": 64_000, "2.5 MB/s": 2_500_000, "1 GB/s": 1_000_000_000, "300 kB/s": 300_000} {
		var r, again Rate
		if err := r.UnmarshalText([]byte(text)); err != nil || r != want {
			t.Errorf("%s is %d, want %d; %v", text, r, want, err)
		}
		if err := again.UnmarshalText([]byte(r.String())); err != nil || again != r {
			t.Errorf("%s is printed as %s, which is %d; %v", text, r, again, err)
		}
	}
	for _, text := range []string{"", "5", "-1 Mbit/s", "0 Mbit/s", "NaN Mbit/s", "1e300 Gbit/s", "20 Mb", "20 mbit/s"} {
		if err := new(Rate).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for a rate", text)
		}
	}
	c := Defaults()
	if c.Links.Limit = slowestLimit - 1; c.Check() == nil {
		t.Error("a limit at which transfers time out is taken")
	}
}
