// Package regen makes a study's current files: those that a DICOMweb client is served, in a root of their own, out of what the archive holds.
//
//	studies/<UID>/studies.gz                                     the study query
//	studies/<UID>/series.gz                                      the series query
//	studies/<UID>/deduplicated.gz                                all objects of all leaves as one list
//	studies/<UID>/status.gz                                      written last: of what the others are
//	studies/<UID>/series/<UID>/metadata.gz                       the metadata of the series
//	studies/<UID>/series/<UID>/instances.gz                      the instances query
//	studies/<UID>/series/<UID>/thumbnail                         a JPEG, the middle instance's
//	studies/<UID>/series/<UID>/instances/<UID>/frames/1..n       the frames as the archive has them
//	studies/<UID>/series/<UID>/instances/<UID>/pixeldata         instead of frames, for video
//	studies/<UID>/series/<UID>/instances/<UID>/thumbnail         a JPEG, the middle frame's
//	studies/<UID>/bulkdata/...                                   values and sequences that the JSON refers to
//
// What the files hold is a function of the study's state (dedup.State) and of this package's [Version], without clock, site or order of arrival: two sites
// with the same leaves have equal files, decompressed. DESIGN.md gives their rules.
//
// [Generator.Study] does one round: it compares what should be there with what is there and writes the difference, so a second round writes
// nothing, and a round after a crash repairs what the crash left. Each file is whole at any moment: it is staged, synced and renamed. Files that others
// refer to come first, and what nothing refers to any more goes last, some minutes later, because a reader may be under way.
//
// When a round may run is not decided here: package settle does, and package web serves the result.
package regen
