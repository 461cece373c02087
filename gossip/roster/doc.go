// Package roster is who belongs to a cluster: every site that was ever admitted and not removed by an operator.
//
// A Roster is a value: a set of signed records, and nothing that a clock, a network or a disk has a say in. Two rosters of one cluster merge to the
// union of their records, whatever the order, so all sites end up with the same one, and Epoch tells whether they have. A roster never shrinks by
// itself: a site that is down is missing, never forgotten, and one that an operator removed stays in it as removed.
//
// # Records
//
// A member is what never changes about one machine: its name, its key, its operator key and which admission it was. A register is (member, signer), and
// holds the last record that this signer made: the one of the highest counter. What counts for a member is the last record among its registers.
//
// A record is taken if its signer is the cluster's root, whose private half is the recovery key that no machine stores, or the operator key of a member
// of this same roster. Members and their operator keys never change or vanish, so neither does what a record rests on: that makes Merge associative.
// There is a register for each signer, and not one for each member, so that whether a signer still counts can be judged afterwards, from the set alone.
//
// # Removal
//
// A member that any record says is removed is removed, whatever else is said of it, before or after: a machine that was stolen cannot sign itself back in.
// What it signed counts no longer where anybody else has signed for the same member; so Remove signs again what rested on the removed one alone. Where
// that was missed (two removals during a split) the record still counts, for no site may leave the roster without an operator's record, and is an alarm.
// A machine that is set up anew has a new key and is admitted as a new member.
//
// Two members of one name, neither of them removed, are an alarm, not a rejoin. The one that was admitted first keeps the name until operators remove one.
package roster
