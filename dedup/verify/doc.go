// Package verify reads an archive and says whether it is sound: every file right, every reference met, nothing there that has no business there.
//
// Of each file there are three answers. Right: its content has its name, or its own hash, or the digest that was taken when it was first seen. Corrupt: it has
// not, or its envelope is damaged. Cannot tell: another writer's name says nothing, and no digest was taken; that is no fault, and is not called right either.
//
// Each fault is one [Finding] that names the file. What it takes to find them:
//
//   - From names, sizes and the JSON alone: what is missing, what does not belong, objects that have not their hash. JSON is read in any case, because references are in it.
//   - Deep, from every byte: SHA-256 of each value and frame against its name. A compressed frame is named by its pixels, but its own bytes are in its name too
//     (BLAKE3), and they alone decide: that they decode to those pixels was proven when they came, and follows from their being the same bytes. So verification never decodes.
//   - The gzip envelope of a file of dicomesh's own has one form. Its header is compared; its deflate stream is made again, and where just one byte of it is another, with the
//     same content, the disk has changed that byte. (Where more differs, another release of the compressor wrote it.)
//   - The index, if there is one, knows the bytes of every file as they were stored, and files that nothing refers to. Findings that are its alone say so:
//     they vanish with it. All others are the same with it, without it, and after it was rebuilt.
//   - The digest log knows files whose names say nothing.
//
// Nothing is written, unless the caller lets a [Recorder] keep what was read. Memory is that of one study's objects for each worker; values pass through in pieces.
package verify
