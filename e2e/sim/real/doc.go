// Package real runs whole sites, as they ship, side by side in one process and in made time, and holds them against the invariants from outside after every step.
//
// It is the simulator's second tier. The first (package sim) has stand-ins for the wires and replays exactly; here the agent's own wiring runs (cmd/dicomesh/agent), with real
// memberlist and real quic-go on a network in memory, inside a testing/synctest bubble: time is made, scheduling is not. A seed says what happens to the cluster and when; what goroutines
// make of it differs from run to run. So outcomes and bounds are held, never schedules, and a failure prints its seed and its trace, which need not fail again.
//
// Of a site the Machine is replaced, and nothing else:
//
//	disks      crashfs, for the tree and the current files: the power goes off at any operation, and what was not synced is there or not
//	the port   a path of linktest's network, which can be cut, one way too
//	watcher    looks at the names of all lists and instance files every two seconds, because inotify would stop the made time
//	inbox      is handed files one by one
//	doors      are the functions behind them: what status, study and studies answer is asked for without HTTP
//	room       what the scenario says
//	clocks     the wall clock is what somebody set it to; running time is made
//
// The state folder (index, keys, roster, audit log) is a real one. A power cut takes effect on it when the site has ended, which is right after: everything in it that rests on the tree or on the
// current files is written after an operation of theirs that failed from then on.
//
// # Suspended
//
// A process cannot be stopped inside a bubble. A site is suspended here by stopping all that it does to the world: each operation on its disks waits, and no packet reaches or leaves it; when it goes on, all
// that waited is done at once, on the strength of what it knew before. Its timers run meanwhile. What a stop of the clocks is answered with is shown by the tests of settle and reach, and by real processes.
//
//	machine_test.go  the Machine: disks, watcher, inbox, doors
//	site_test.go     a site: its start, end, crash, backup
//	world_test.go    the cluster: how it comes to be, links and their cuts, time
//	steps_test.go    what may happen to it
//	author_test.go   files of other writers, and corrections
//	judge_test.go    what must be true all the same (PROTOCOL, section 6)
//	calm_test.go     when all faults have ended: level, settled, and then nothing is written
//
// Not held here: I12 for memory, I13 and I16, which the tests of syncer and those with real binaries hold.
package real
