// Package watch notices what appears in an archive's tree, whoever put it there: this site's own ingest and syncer, a command run beside the
// agent, another program that copies files in, a restored backup. It says which study to look at and why; it never says what a study is. Whether
// a file is right is for whoever looks (the index, package verify).
//
//	w := watch.New(watch.Config{Dir: tree, Touched: func(study dedup.UID, why watch.Why) { ... }, Log: log})
//	err := w.Run(ctx) // until ctx ends
//
// # What it promises
//
// A list or an instance file that appears is told of: within about a second where its folder is watched, within [Config.Cycle] (and the pauses that slow disks
// force, which [Status] shows) where it is not. Nothing rests on notifications alone. They are lost in many ways: a full queue, a limit of the
// kernel, a network file system that sends none, a folder that was there before its watch. Each loss that shows ends in a rescan of what it
// concerns, and the cycle goes over every study, watched or not, for those that do not.
//
// A file is told of when it is complete: nothing has changed it for a while, and it reads to its end (a gzip envelope that closes, JSON that ends). Until then it is
// looked at again and again, and a study whose only news it is is not touched. File times serve for waiting and as hints of what to look at; what is complete, let
// alone right, never follows from one. A file that stays as it is, unreadable, for [Config.Patience] is told of as [Torn]: somebody should know.
//
// Absence is never a deletion. A tree that is gone, or has lost its marker or all its studies at once, is a mount that vanished: nobody is touched, Status says since
// when, and when the tree is back all of it is looked at again. A single study or file that is gone is told of as [Vanished], which asks somebody to look, no more.
//
// # What it costs
//
// Watches are for the folders of studies, and for those of lists and instance files in the studies that had news last ([Config.Hot]); never for bulkdata, which would
// take two watches a file. Memory is some 430 bytes a study and 16 a list or instance file. Work that no news asked for rests nine times as long as it took ([Config.Rest]).
//
// Bulkdata that arrives late changes no folder that is looked at. Whoever misses some of a study says so ([Watcher.Expect]) and is called again and again until it says that it
// is there ([Watcher.Enough]).
//
// DESIGN.md says how, and why a hint that is wrong loses nothing.
package watch
