// Package settle decides when a study's current files may be made, published and called settled, and does it again until nothing changes.
//
//	inbox, watch, syncer --Touch(study)--> Loop --Look-----> what the study is here (dedup/index)
//	                                            --Generate-> its current files      (regen)
//	                                            --Records--> what was published     (the index's row: what a query finds)
//	gossip, syncer ------Cluster: is it whole, what do the others hold, do they answer now?
//
// A study is touched whenever something of it may have changed. The loop looks at it, waits until it is quiet, makes its files, asks all other active
// sites for an answer that is newer than the files (the echo), publishes, makes a second round that has to write nothing, and then calls it settled, with a
// [Certificate] that names what every site reported.
//
//	DIRTY -> SYNCING -> QUIET(T) -> GENERATE -> ECHO -> PUBLISHED -> VERIFY -> SETTLED(certificate)
//
// It never makes files of a study that is not complete here, while the cluster is not whole (but as the operator's [Policy] allows), or while another site
// reports a leaf that is missing here. It never publishes without an echo, and never calls settled what was not verified by a round and by the reports.
//
// One pure function, next, decides: (what is known of a study, what happened, when) -> (what is known then, what to do). It keeps facts, not a position: after every
// event it reads the same ladder of conditions from the top, so a gate that flaps, a lost notification or a failure at any step ends in the same place.
// [Loop] feeds it and does what it says, with bounded concurrency. A study at rest is a few bytes in memory: what is known of it is its [Record].
//
// DESIGN.md has the ladder, the times, and what makes a study visible.
package settle
