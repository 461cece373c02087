// Package index remembers what a site holds: for every study its files, their sizes and their digests, so that sites can be compared and damage
// can be seen without asking anybody else. It keeps two things in the state folder, and they are of different worth.
//
// The index proper ([Index], index.db, an SQLite database) is a cache. Everything in it comes from the tree, and [Index.Rebuild] reads it
// out of the tree again; whoever deletes it loses nothing but time. What is in it was right when it was read: a rebuilt
// index believes the disk as it finds it.
//
// The digest log ([Digests], the file digests) is no cache. Most names in an archive are hashes of what they name, and damage shows by itself. But other
// writers have names that say nothing: a list whose name covers half of it, frames called 1, 2, 3. For such a file the log holds the digest that was
// taken when it was first seen. Where it is lost, nobody can tell any more whether the file is what it was, and package verify says just that.
//
// One process at a time owns a state folder (flock); any number may look ([OpenReader]).
//
// # What a site holds now
//
// Whoever runs over a tree asks a [Keeper]: it says what a study is now, at the cost of what changed, and enters that. It is also where absence is judged. A walk
// ([Index.Refresh], for commands) takes out of the index what is gone; a Keeper takes out only what lists that are here account for, and marks the rest as lost, because a study
// that has lost a leaf looks like a smaller one that is whole. So a process that publishes or compares uses [Keeper.Rescan] at its start, and not Refresh.
//
// What a Keeper does not see is a known file that changes in place while its size stays: archive files do not do that, disks do, and package verify reads for it.
//
// # What is on disk
//
// A study is one row, and its files a manifest: entries sorted by path, cut into chunks of at most 64 KiB. A commit of one instance does not rewrite
// chunks: it adds one small row, and the rows are folded into the chunks when they have come to a half of what is there already. With pages of 1 KiB that makes
// 5,000 commits of one instance each write some 30 MB, where rewriting the two chunks that each commit touches would write 500.
//
// Commits are not synced one by one: after a power cut the index may know less than the tree, never more, because files are durable before the index
// hears of them. So whoever owns it compares names and sizes once at start ([Index.Refresh]). Change numbers survive that: they are reserved in durable blocks, and
// none is ever given twice.
package index
