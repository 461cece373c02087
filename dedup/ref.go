package dedup

import (
	"cmp"
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Ref is the name of one archive file inside its study: a comparable value that prints as the file's canonical study-relative path and parses from it.
//
//	bulkdata/abc/de/f0….json.gz                {Bulkdata, hash abcdef0…, ext ".json.gz"}
//	bulkdata/abc/de/f0….<32 hex>.jls           {Bulkdata, hash abcdef0…, stream <32 hex>, ext ".jls"}
//	deduplicated/instances/1.2.3.gz            {Instance, "1.2.3"}
//	deduplicated/<hash>.gz                     {List, hash}
//	variants/instances/1.2.3.<64 hex>.gz       {Instance, "1.2.3", variant <64 hex>}
//	series/1.2/instances/1.2.3/frames/1.mht    {Other, that path}
//
// Where another writer keeps the same file elsewhere its Ref is the same: Tree knows the layouts.
// The Refs that ParseRef and ParseBulkURI return are well formed, and so is every path made of them.
type Ref struct {
	Class   Class
	Name    string // Bulkdata, List: the hash; Instance: the SOPInstanceUID, or in other writers' trees a hash; Other: the path
	Stream  string // Bulkdata whose hash is a pixel hash: 32 hex of the BLAKE3 of the file's bytes
	Ext     string // Bulkdata: with its dot, as FORMAT.md lists them
	Variant string // Instance, List: 64 hex of the BLAKE3 of its content when it shares its name with another file (FORMAT.md section 9)
}

// The folders of a study that are the archive's own.
const (
	bulkFolder     = "bulkdata"
	listFolder     = "deduplicated"
	instanceFolder = "instances"
	variantFolder  = "variants"
)

// knownExt reports whether bulkdata files have that extension.
func knownExt(ext string) bool {
	switch ext {
	case ".json.gz", ".raw", ".jpg", ".jls", ".jp2", ".jxl", ".jph", ".rle", ".dfl", ".mpg", ".mp4", ".h265", ".smpte", ".bin", ".residue", ".residue.gz",
		"", ".gz", ".raw.gz", ".json": // the second line is only read
		return true
	}
	return false
}

// ParseRef returns the Ref of a study-relative path, or an error that satisfies errors.Is(err, ErrName) and does not quote the path.
// The misspelt folder isntances of old writers reads as instances.
func ParseRef(p string) (Ref, error) {
	folder, rest, _ := strings.Cut(p, "/")
	var r Ref
	ok := false
	switch folder {
	case bulkFolder:
		r, ok = parseBulk(rest)
	case listFolder:
		r, ok = parseListed(rest)
	case variantFolder:
		r, ok = parseVariant(rest)
	default:
		r = Ref{Class: Other, Name: p}
		ok = otherPath(p)
	}
	if !ok {
		return Ref{}, fmt.Errorf("path of %d bytes in a study: %w", len(p), ErrName)
	}
	return r, nil
}

// parseBulk reads <3>/<2>/<rest>[.<stream>]<ext>.
func parseBulk(rest string) (Ref, bool) {
	if len(rest) < 8 || rest[3] != '/' || rest[6] != '/' {
		return Ref{}, false
	}
	tail, ext := cutExt(rest[7:])
	r := Ref{Class: Bulkdata, Name: rest[:3] + rest[4:6] + tail, Ext: ext}
	if len(ext) > 33 && lowerHex(ext[1:33]) && ext[33] == '.' {
		r.Stream, r.Ext = ext[1:33], ext[33:]
	}
	return r, r.wellFormed()
}

// cutExt cuts before the first dot.
func cutExt(name string) (base, ext string) {
	if i := strings.IndexByte(name, '.'); i >= 0 {
		return name[:i], name[i:]
	}
	return name, ""
}

// parseListed reads <hash>.gz and instances/<name>.gz.
func parseListed(rest string) (Ref, bool) {
	r := Ref{Class: List, Name: rest}
	if folder, name, inside := strings.Cut(rest, "/"); inside {
		if folder != instanceFolder && folder != "isntances" {
			return Ref{}, false
		}
		r = Ref{Class: Instance, Name: name}
	}
	name, ok := strings.CutSuffix(r.Name, ".gz")
	r.Name = name
	return r, ok && r.wellFormed()
}

// parseVariant reads instances/<name>.<64 hex>.gz and lists/<hash>.<64 hex>.gz.
func parseVariant(rest string) (Ref, bool) {
	folder, name, _ := strings.Cut(rest, "/")
	name, ok := strings.CutSuffix(name, ".gz")
	dot := len(name) - 65
	if !ok || dot < 1 || name[dot] != '.' {
		return Ref{}, false
	}
	r := Ref{Class: List, Name: name[:dot], Variant: name[dot+1:]}
	if folder == instanceFolder {
		r.Class = Instance
	}
	return r, (folder == instanceFolder || folder == "lists") && r.wellFormed()
}

// wellFormed reports whether the Ref may become a path.
func (r Ref) wellFormed() bool {
	_, notHash := ParseHash(r.Name)
	variant := r.Variant == "" || len(r.Variant) == 64 && lowerHex(r.Variant)
	switch r.Class {
	case Bulkdata:
		stream := r.Stream == "" || len(r.Stream) == 32 && lowerHex(r.Stream) && r.Ext != ""
		return notHash == nil && stream && knownExt(r.Ext) && r.Variant == ""
	case List:
		return notHash == nil && variant && r.Stream == "" && r.Ext == ""
	case Instance:
		u, notUID := ParseUID(r.Name)
		return (notHash == nil || notUID == nil && u.text == r.Name) && variant && r.Stream == "" && r.Ext == ""
	case Other:
		return r == Ref{Class: Other, Name: r.Name} && otherPath(r.Name)
	}
	return false
}

// otherPath reports whether a path may name a file of class Other: relative and clean, UTF-8 without control characters and backslashes,
// no component that starts with a dot or looks like somebody's temporary file, nothing in the archive's own folders, not too long for a file system.
func otherPath(p string) bool {
	if len(p) > 1024 || p == "" || p[0] == '/' || path.Clean(p) != p || !utf8.ValidString(p) ||
		strings.ContainsFunc(p, func(r rune) bool { return unicode.IsControl(r) || r == '\\' }) {
		return false
	}
	for i, component := range strings.Split(p, "/") {
		if len(component) > 255 || component[0] == '.' || Temporary(component) || i == 0 && ownFolder(component) {
			return false
		}
	}
	return true
}

func ownFolder(name string) bool {
	return name == bulkFolder || name == listFolder || name == variantFolder
}

func lowerHex(s string) bool {
	for i := range len(s) {
		if digitOf[s[i]]&ofHex == 0 {
			return false
		}
	}
	return true
}

// Path is the canonical study-relative path, "" for a Ref that is not well formed: whoever fills the fields by hand gets no way out of the study.
func (r Ref) Path() string {
	if !r.wellFormed() {
		return ""
	}
	switch r.Class {
	case Bulkdata:
		stream := ""
		if r.Stream != "" {
			stream = "." + r.Stream
		}
		return bulkFolder + "/" + r.Name[:3] + "/" + r.Name[3:5] + "/" + r.Name[5:] + stream + r.Ext
	case List, Instance:
		if r.Variant != "" {
			return variantFolder + "/" + r.Class.String() + "/" + r.Name + "." + r.Variant + ".gz"
		}
		if r.Class == Instance {
			return listFolder + "/" + instanceFolder + "/" + r.Name + ".gz"
		}
		return listFolder + "/" + r.Name + ".gz"
	}
	return r.Name
}

// String is Path.
func (r Ref) String() string { return r.Path() }

// Compare orders Refs: bulkdata before instance files before lists, so that what refers comes after what it refers to.
func (r Ref) Compare(q Ref) int {
	return cmp.Or(cmp.Compare(r.Class, q.Class), strings.Compare(r.Name, q.Name), strings.Compare(r.Stream, q.Stream),
		strings.Compare(r.Ext, q.Ext), strings.Compare(r.Variant, q.Variant))
}

// Hash is the hash that names a bulkdata file or a list, the zero Hash for other classes.
func (r Ref) Hash() Hash {
	if r.Class != Bulkdata && r.Class != List {
		return Hash{}
	}
	h, _ := ParseHash(r.Name)
	return h
}

// ParseBulkURI returns the bulkdata file that a BulkDataURI of any writer names: relative to the study or to something inside it, or an
// absolute URL. The URI itself is never used as a path or opened. URIs leave .gz out, so the Ref is that of the file as dicomesh would write
// it; another writer's may be one of its Spellings.
// The error satisfies errors.Is(err, ErrName); URIs of frames, which name no bulkdata file, end here.
func ParseBulkURI(uri string) (Ref, error) {
	if i := strings.IndexAny(uri, "?#"); i >= 0 {
		uri = uri[:i]
	}
	i := strings.LastIndex(uri, bulkFolder+"/")
	if i < 0 || i > 0 && uri[i-1] != '/' {
		return Ref{}, fmt.Errorf("URI of %d bytes that names no bulkdata: %w", len(uri), ErrName)
	}
	r, err := ParseRef(uri[i:])
	if r.Ext == ".json" {
		r.Ext = ".json.gz"
	}
	return r, err
}

// Spellings are the Refs under which the bulkdata file that r means may be on disk, r first: writers differ in what they compress, and references
// do not say. A value that another writer names without an extension is .raw once it is out of its envelope (package staticwado). For other classes
// it is r alone.
func (r Ref) Spellings() []Ref {
	out := []Ref{r}
	if r.Class != Bulkdata {
		return out
	}
	base, gzipped := strings.CutSuffix(r.Ext, ".gz")
	other := base
	if !gzipped {
		other += ".gz"
	}
	if knownExt(other) {
		r.Ext = other
		out = append(out, r)
	}
	if base == "" {
		r.Ext = ".raw" // a value of static-wado without its envelope
		out = append(out, r)
	}
	return out
}
