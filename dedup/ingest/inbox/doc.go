// Package inbox is the folder door of the archive: what is put into a folder is ingested and then removed from it.
//
// Whoever has DICOM files and no network protocol - an export of another system, a USB stick, a modality's share, a script - copies them there, flat or in folders, with
// whatever names. A file leaves the inbox in one of two ways: it is removed, after the archive has it durably, or it is moved to the quarantine, with the reason
// beside it. What cannot be stored for a reason that is not the file's own (a full disk first of all) stays where it is until it can.
//
// # When is a file complete?
//
// A folder says nothing about that, and a torn file can be sound DICOM: one that ends between two elements reads to its end. So a file is taken when
//
//   - nobody has it open for writing: the kernel tells, by granting a read lease on it (fcntl F_SETLEASE) or not. While the lease is held, which is until the
//     file is removed, whoever would open it for writing waits; and
//   - it has not changed for Config.Quiet, so that a program which opens and closes it between two writes is not met in the middle.
//
// Where leases tell nothing - network file systems, files of other users when the agent is not root, systems other than Linux - a file must not have changed for the much
// longer Config.Patience. Whether leases work in the inbox is tried at start, not guessed.
//
// A file that is refused because it ends too early may be one whose copy was broken off and will be continued. It is tried again when it changes, and goes to the quarantine
// when it has not changed for Config.BrokenOff, or Patience where the kernel does not tell.
//
// Limits: a program that writes through NFS to a server where the inbox is local holds nothing open there between its writes, and one that closes a file, goes away for longer
// than Quiet, and continues it (a resumed download) is not told from one that has finished. Such programs have to use one of the names that are left alone until they are
// renamed: those that begin with a dot or tempFile-, and those that end in .tmp, .part, .partial or .filepart.
package inbox
