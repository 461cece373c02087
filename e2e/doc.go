// Package e2e tests dicomesh from outside: the rules of the house as tests of the source tree, and scripts against the real binary.
//
//	imports_test.go    which package may import which, and who owns which library (DESIGN, "the tree reads like the data flow")
//	house_test.go      package comments, sizes, calls that are not made here, words that say something is unfinished
//	script_test.go     testdata/script/*.txt: commands as a user types them, and what they print
//	readme_test.go     the commands of the README, run as they stand there
//	shareddata/        where tests find the corpus of real files that is not part of this repository
//	catalogue_test.go  the phantoms, good and bad, through the real binary
//	agent_test.go      a running site from outside: its inbox, kills, full disks, what it says and what it never says
//	bench/             measurements against other ways of storing the same files
//	first              a first look for whoever has just cloned this: sample, ingest, export, compare
//	test               installs what the tests need, runs them all and counts
package e2e
