// Package sim runs whole clusters in one process, replays them exactly, and holds them against the invariants from outside after every step.
//
// This folder is the pure tier: three to five sites under one scheduler, one seed and virtual time. Of each site it runs what decides: the roster and the judge of
// links (gossip/roster, gossip/reach), what to pull from whom and the comparing of sets (syncer.Stepper), the digest tree (dedup/index), what becomes of a study
// (settle.Stepper), combining and collection (dedup/combine), what a study is (dedup), on a disk that loses what was not synced (dedup/crashfs), written through
// dedup/durable. Stand-ins are the wires, the index (it is read from the tree again), the current tree (a sum of what a reader would see) and the transfer
// of files. The real tier, with real gossip and real transport in virtual time, is in real/.
//
//	world_test.go      the scheduler: who does something when; work that takes time is a coroutine
//	network_test.go    links that are cut in one direction or both, beats, messages in order, streams
//	site_test.go       a site: what its disk keeps, its process, starts, crashes, stops, clocks
//	tree_test.go       its files: written and read again
//	sync_test.go       how it pulls
//	seeds.go           where a run begins
//	settle_test.go     how it publishes and settles
//	steps_test.go      what may happen to a cluster
//	judge_test.go      what must be true all the same (PROTOCOL, section 6)
//	calm_test.go       when all faults have ended: level, settled, and then nothing is written
//	prompt_test.go     and how soon that is where nothing goes wrong, or what did is over
//
// Seeds of a usual run follow from the hash of the tree that is checked out (seeds.go): each change is met by fresh ones, and a red run is had again by checking out that change.
// So are those of the real tier. The last line that a failure prints replays it:
//
//	go test ./e2e/sim -run TestPure -seed N -steps M
//
// More of them, wherever they begin, are those of -base N -seeds M.
//
// planted/ has mistakes, one a file, and which test catches each.
//
// What of the invariants has no meaning here: I12 and I13 (memory, and what a hostile neighbour sends, are syncer's and its tests'), I15 (a current tree of files).
// Foreign writers' files have other contents here than dicomesh would write, but are written as durably.
package sim
