// Package syncer brings every study that any site has to this site, and says what differs.
//
// It only ever pulls: who lacks something fetches it, because the receiver alone knows what is durable here. Three things tell what differs, and they are
// of different worth. A *hint* is a neighbour's word that a study has changed; it may be lost. The *feed* is the same for what changed while nobody listened.
// The *sums* are the truth: whole trees are compared by their digest trees (index.Sums), at a cost of what differs, and two sites
// are level when their roots are equal, never because some list of changes was worked off.
//
// A study is pulled like a commit in git: the heads that differ (lists and instance files), what they refer to, what is missing of it; everything is
// verified before it is committed, bulkdata before instance files before lists, each batch durable before the next. A file is checked against the name that the
// referring object gives, never against the sender's word. Nothing is ever removed because a neighbour lacks it.
//
// What to pull, from whom and when is decided by a pure machine (core): events in, effects out, no clock, no goroutine, no disk. Everything else here
// performs its effects: compare.go walks digest trees, serve.go answers, pull.go fetches and commits. Links are package link's, messages package wire's.
//
// DESIGN.md has the rules, the reasons and what was measured.
package syncer
