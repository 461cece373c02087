// Package combine keeps a study's lists and instance files few: it combines the files that count into one list, and collects those that lists account for.
//
// A study arrives as one small file an instance. Read one by one, 20,000 of them take seconds; so when the study has come to rest they are written once more, as
// one list, and then the instance files can go. Every correction is a list more; combining makes one of them again.
//
// Both are done twice over: what is to be done is found out by a pure function (PlanCombine, PlanCollect), whose result is data that can be printed; and then it is
// done, in steps that can be cut off anywhere and begun again.
//
// # Combining
//
// The list is a function of the leaves alone (FORMAT.md section 10): all their records and extracts, and in its info the names of all lists among them and of all that these
// name. So two sites that combine the same leaves write the same bytes, without asking each other; and what any of the leaves accounted for the new list accounts for by itself.
// Records that others replace, removals, both sides of a conflict: all stay. Nothing is shown otherwise than before, and this is proven before the list is written,
// with [dedup.Resolve], and again with the list as it was read back.
//
// Some leaves are left alone, because in the company of other files they would say something else: see PlanCombine.
//
// # Collecting
//
// A file is removed only when it is not needed in any sense: a leaf that is here, durably, accounts for it by content, and does so directly; without it the same files are accounted for as with
// it, also files that some other site, or a backup, may bring at any time (dedup.File.Covers); nothing reads it; and a list has been replaced for at least a day,
// so that whoever has begun to read the old list can end in peace. The day is measured here, in running time: file times and wall clocks are set by many hands. Bulkdata is never removed.
//
// The order is: the new list durable, then the files taken out of the index, then removed. A crash at any moment leaves a study that reads the same, and the next run ends the work.
package combine
