package ingest

import (
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// Taken is what a commit of this tree does about a name that is there already, for whoever stores lists, instance files and bulkdata by other ways
// than Add: equal content stays as it is, damaged bulkdata makes way, an instance file or a list with other content becomes a variant.
// Call Arrange for its name after the commit.
func Taken(fsys durable.FS) durable.Taken {
	b := Batch{archive: &Archive{fs: fsys, tree: dedup.NewTree(fsys)}}
	return b.taken
}

// Arrange brings the lists or instance files of one name into the order of FORMAT.md section 9: all of them under variants/, the least digest at the
// canonical path, where there must be one. It may run at any time, and again after a crash; where nothing is to be done it writes nothing.
func Arrange(fsys durable.FS, study dedup.UID, ref dedup.Ref) error {
	a := Archive{fs: fsys, tree: dedup.NewTree(fsys)}
	return a.arrange(study, ref)
}
