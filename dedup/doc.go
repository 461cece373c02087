// Package dedup is the noun of dicomesh: the names, objects, lists and studies of a deduplicated DICOM archive, and the tree that holds them.
//
// A study is a folder of files that are written once and never changed. Three kinds matter:
//
//   - bulkdata: whatever several instances share or few readers want - frames, large values, and extracts, the patient,
//     study, series and image attributes that thousands of instances have in common. A file is named by a hash.
//   - instance files: one record each, what an instance has of its own, with the hashes of the extracts that complete it.
//   - lists: many records in one file. A list may replace older lists and instance files.
//
// Nothing says which file is newest: sites write at the same time, clocks differ, copies lose their file times. What a study is
// follows from the set of its files alone. [Resolve] computes it, and is the one place where that is decided: which files are
// leaves, which record is shown for an instance, which are in conflict, what is missing.
//
// An [Object] is a DICOM JSON object (PS3.18 Annex F) in canonical form, so that equal content is equal bytes and has one name.
// [ParseObject] and [ParseList] make any writer's JSON canonical, or say why they cannot. The archive's own facts about an object -
// its hash, its type, what it refers to and replaces - are in a private block of the object; [Split] takes it off, [Seal] puts
// one on, [Verify] checks it.
//
// A [Ref] names a file inside its study and prints as its path. Whatever text comes from elsewhere becomes a UID, a Hash or a Ref by
// parsing or does not become a path at all. [Tree] finds the files of a study in the layouts that are known in the wild and opens them
// with limits, because an archive is read long after whoever wrote into it was trusted.
//
// FORMAT.md beside this file is the format, exact enough for a second implementation.
package dedup
