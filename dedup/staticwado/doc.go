// Package staticwado takes an archive that static-wado wrote over into a tree of dicomesh's own. It reads both dialects that are found in hospitals, of 2021 and
// of today, and of static-wado-java what is alike; it never writes to the source.
//
// Of a study three things come over:
//
//   - Its history: lists, instance files and bulkdata as they were, under their own names, so that whatever they say can still be looked up, and so that a
//     neighbour who holds the same study sees the same files. Only wrappings change: JSON is gzipped, values leave their multipart envelope. A value of
//     today's dialect is named by the SHA-256 of its bare bytes, and so, once it is bare, dicomesh can check it.
//   - For each instance a record of dicomesh's own that replaces the foreign one by its hash. An instance of which static-wado kept the whole Part 10 file is
//     taken in like any other file, byte for byte. Any other is made into a Part 10 file first (attributes cleaned of what is provably
//     the writer's doing, frames out of their envelopes) and that file is taken apart: so one way leads into the archive, and names, extracts, frames and content
//     digests are what ingest would have made of it. What the dialect had lost stays lost, and nothing is claimed about the file that once came.
//   - What else a study has, at its path, as class other. Queries, metadata and thumbnails are derived, and are left.
//
// All records of a study stand in one list that names the foreign lists. It accounts for a foreign record only if it replaces or deletes it, so an
// instance that cannot be taken over - frames or extracts are missing, an attribute cannot be read - simply stays what it was, a foreign record
// in a foreign list, and is reported; a later run, when the source has grown, completes it. What is live, deleted or in conflict is decided by
// [dedup.Resolve] over the files of source and tree together. File times are never looked at: the reference's own reading follows them, and goes wrong.
//
// Bulkdata becomes durable first, then our list, then the history, which so arrives already replaced. A crash in between leaves a sound
// study, and the next run goes on. A run that has nothing to do writes nothing.
//
// What the dialect of today loses, and so what an imported instance lacks of the file that once was: how decimal and integer strings were written (1.50 is 1.5, the
// number is the same), minus zero, Data Set Trailing Padding, group 0002, preamble and all that FORMAT.md section 7 calls encoding; where the writer
// converted pixels, their compression, and if that was lossy, the pixels. That of 2021 also loses the creator at (0009,0010) of a scanner's private block.
//
// The facts about the dialects are in the project's notes on the format in the wild.
package staticwado

import (
	"github.com/dicomesh/dicomesh/dedup"
)

// Status says what became of an instance.
type Status string

// The statuses.
const (
	Imported   Status = "imported"   // a record of dicomesh's own stands for it now
	Present    Status = "present"    // it did before
	Deleted    Status = "deleted"    // it was rejected in the source, and stays so
	Conflict   Status = "conflict"   // taken over, more than one content of it; all are kept
	Incomplete Status = "incomplete" // something of it is missing or damaged in the source: the foreign record stays
	Failed     Status = "failed"     // its record cannot be understood: the foreign record stays
)

// Result is what became of one instance.
type Result struct {
	Study, Series, SOP dedup.UID // Series is zero where it cannot be told
	Status             Status
	Reason             string
}

// Summary counts what a run did, or would do.
type Summary struct {
	Studies   int
	Instances map[Status]int
	Files     int   // written
	Bytes     int64 // of them, as they lie on disk
	Derived   int   // queries, metadata and thumbnails that were left
	Skipped   int   // files and studies that were reported to Config.Skip
}

// Config is how a run reports. The zero Config runs silently.
type Config struct {
	DryRun bool // look and report, and write nothing

	// Report hears of each instance, a study at a time, when what it says is durable.
	Report func(Result)
	// Skip hears of each file, or study, of the source that is not taken over, and why.
	Skip func(dedup.Finding)
	// Advance hears of bytes of the source that have been dealt with.
	Advance func(int64)
	// Record is given the files in the tree whose names say nothing about their content, when they are durable, and those of
	// earlier runs again: for the digest log. nil: there is none.
	Record func(study dedup.UID, files []dedup.Held) error
}

func (c Config) withDefaults() Config {
	if c.Report == nil {
		c.Report = func(Result) {}
	}
	if c.Skip == nil {
		c.Skip = func(dedup.Finding) {}
	}
	if c.Advance == nil {
		c.Advance = func(int64) {}
	}
	if c.Record == nil {
		c.Record = func(dedup.UID, []dedup.Held) error { return nil }
	}
	return c
}

// Limits on what is read. A file that goes beyond is skipped and said.
const (
	maxHead  = 1 << 30 // a list, an instance file, an object, decompressed
	maxValue = 1 << 36 // a value or a frame
)
