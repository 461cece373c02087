// Package planted puts well-known mistakes into a copy of this module, one at a time, and sees that a named test catches each.
//
// A test that has never failed has shown nothing. bugs/ has one file for each mistake:
//
//	What somebody might have written, and what it would cost.
//
//	test: ./e2e/sim -run TestPure -seeds 16 -base 1
//	-- path/of/a/file.go --
//	<<<<<<<
//	what stands there
//	=======
//	what would stand there
//	>>>>>>>
//
// That the edits still fit the code is held with every run of the tests. Planting them all takes a while, and is done by hand:
//
//	go test ./e2e/sim/planted -run TestPlanted -plant all -timeout 1h -v
//	go test ./e2e/sim/planted -run TestPlanted -plant echo-skipped -v
//
// Nothing is changed in this folder: the module's files are copied to a temporary one, where each test is first seen to pass.
package planted
