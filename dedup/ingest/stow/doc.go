// Package stow is the door of STOW-RS (PS3.18 section 10.5): a client posts instances as multipart/related; type="application/dicom", and is told for each what became of it.
//
// What it promises:
//
//   - An instance is answered as stored only when it is durable (package ingest has the proof and the promise). A power cut, a kill or a client that goes away leaves each instance stored as a
//     whole or not at all, and what was answered is stored.
//   - A request takes no more memory than one small instance does: a part is received into a file without a name, which is gone with the process, and parts are taken apart one
//     by one and become durable in batches. Few requests have a batch at a time, and none keeps others from one for long by sending slowly.
//   - A part that is refused costs the others nothing. Its SOP class and instance are named where they can be read, with a reason of PS3.18 table I.2-2; with 0124 an instance that was deleted
//     before: it stays so until it is restored, so it is not answered as stored.
//   - When the disk is full nothing is stored, and the client is told so: 507, or the reason A700 for the instances that did not fit.
//   - Bodies that end before their last boundary are refused: what came last may be the half of an instance, and so nothing of what is not yet durable is kept.
//
// A client that sends slowly holds a connection and a file; deadlines are whoever's who has the HTTP port.
package stow
