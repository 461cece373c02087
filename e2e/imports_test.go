package e2e

import (
	"strings"
	"testing"
)

// rim are the packages that meet only in the agent: each can be read, tested and replaced by itself.
var rim = []string{"watch", "gossip", "syncer", "settle", "regen"}

// bans say what a folder and all below it does not import, and why. Paths are of this module. They hold in tests too.
var bans = []struct {
	in, imports []string
	except      []string // folders inside in
	why         string
}{
	{in: []string{"dedup"}, imports: append([]string{"cmd"}, rim...),
		why: "dedup is the noun: it knows names, objects and the tree, and nobody who uses them"},
	{in: []string{"watch"}, imports: []string{"gossip", "syncer", "settle", "regen", "cmd"}, why: "they meet only in the agent"},
	{in: []string{"gossip"}, imports: []string{"watch", "syncer", "settle", "regen", "cmd"}, why: "they meet only in the agent"},
	{in: []string{"syncer"}, imports: []string{"watch", "gossip", "settle", "regen", "cmd"}, why: "they meet only in the agent"},
	{in: []string{"settle"}, imports: []string{"watch", "gossip", "syncer", "regen", "cmd"}, why: "they meet only in the agent"},
	{in: []string{"regen"}, imports: []string{"watch", "gossip", "syncer", "settle", "cmd"}, why: "they meet only in the agent"},
	{in: []string{"gossip", "syncer"}, imports: []string{"dedup/part10", "dedup/pixels", "dedup/phantom"},
		why: "membership and copying know no DICOM attributes"},
	{in: []string{"dedup/durable"}, imports: []string{"dedup/part10", "dedup/index", "dedup/ingest", "dedup/pixels", "dedup/phantom"},
		why: "durable knows files, not what is in them"},
	{in: []string{"dedup/phantom"}, imports: []string{"dedup/part10", "dedup/ingest", "dedup/index"},
		why: "the phantoms' writer shares nothing with the reader that it checks"},
	{in: []string{"cmd"}, imports: []string{"e2e"}, why: "the binary holds no tests"},
}

// TestArrows holds the direction of imports inside the module.
func TestArrows(t *testing.T) {
	for _, s := range sources(t) {
		for _, imported := range s.imports() {
			own, ok := strings.CutPrefix(imported, module+"/")
			for _, ban := range bans {
				if ok && s.in(ban.in...) && !s.in(ban.except...) && (source{pkg: own}).in(ban.imports...) {
					t.Errorf("%s imports %s: %s", s.path, own, ban.why)
				}
			}
		}
	}
}

// only says which packages' shipped code may import what: a package of this module or a library, with all below it.
var only = []struct {
	imports, by []string
	why         string
}{
	{[]string{"github.com/hashicorp/memberlist"}, []string{"gossip"}, "hints about who is up; nobody else may take them for the truth"},
	{[]string{"github.com/quic-go/quic-go"}, []string{"syncer", "e2e"}, "one UDP endpoint a site; the simulator replaces its network"},
	{[]string{"github.com/fsnotify/fsnotify"}, []string{"watch", "dedup/ingest"}, "watching has traps that are handled once: for the tree, and for the inbox"},
	{[]string{"github.com/suyashkumar/dicom"}, []string{"dedup/part10", "dedup/ingest"}, "it panics on real files: called under recover, headers only"},
	{[]string{"github.com/klauspost/compress"}, []string{"dedup", "regen", "syncer"}, "gzip of the tree and zstd of the wire"},
	{[]string{"modernc.org/sqlite"}, []string{"dedup/index"}, "the index is a cache behind one door"},
	{[]string{"github.com/alecthomas/kong", "github.com/schollz/progressbar", "github.com/jedib0t/go-pretty"}, []string{"cmd", "e2e"},
		"packages return values; only commands talk to people"},
	{[]string{"github.com/rogpeppe/go-internal", "pgregory.net/rapid", "testing"}, []string{"e2e", "dedup/durable/durabletest"}, "for tests"},
	{[]string{module + "/watch", module + "/gossip", module + "/syncer", module + "/settle", module + "/regen"},
		append([]string{"cmd", "e2e"}, rim...), "they meet only in the agent"},
	{[]string{module + "/dedup/phantom"}, []string{"cmd", "e2e"}, "nothing that is archived is ever written by the phantoms' writer"},
	{[]string{module + "/dedup/pixels/encode"}, []string{"dedup/phantom", "e2e"}, "pixel bytes are never encoded again on their way through"},
	{[]string{module + "/cmd"}, []string{"cmd"}, "a binary is no library"},
}

// TestOwners holds that each library, and each package with few users, is imported by its owners alone.
func TestOwners(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, imported := range s.imports() {
			for _, rule := range only {
				if (source{pkg: imported}).in(rule.imports...) && !s.in(rule.by...) && !s.in(own(rule.imports)...) {
					t.Errorf("%s imports %s, which belongs to %s: %s", s.path, imported, strings.Join(rule.by, ", "), rule.why)
				}
			}
		}
	}
}

// own are those of paths that are folders of this module.
func own(paths []string) []string {
	var folders []string
	for _, p := range paths {
		if folder, ok := strings.CutPrefix(p, module+"/"); ok {
			folders = append(folders, folder)
		}
	}
	return folders
}

// TestTopLevel holds that the tree reads like a table of contents.
func TestTopLevel(t *testing.T) {
	allowed := map[string]bool{"cmd": true, "dedup": true, "watch": true, "gossip": true, "syncer": true, "settle": true, "regen": true,
		"testdata": true, "e2e": true, "packaging": true, ".ci": true}
	for _, path := range files(t) {
		if top, _, inside := strings.Cut(path, "/"); inside && !allowed[top] {
			t.Errorf("%s: %s is no folder of the design", path, top)
			allowed[top] = true
		}
	}
}
