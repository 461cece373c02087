// Command bench measures dicomesh, the binary as it ships, against other ways of doing the same with the same files on the same file system.
//
//	go run ./e2e/bench                   the table that README shows: each of the jobs below, short, against cp, rsync, Syncthing, Orthanc and nginx
//	go run ./e2e/bench ingest            500 CT slices, dicomesh ingest against cp -r and sync -f, five pairs on a fresh ext4
//	go run ./e2e/bench ingest --tiny     20,000 tiny instances
//	go run ./e2e/bench regen             500 CT slices in 5 series: rounds of regen
//	go run ./e2e/bench web               500 CT slices: server CPU of each answer, against nginx on the same files and Orthanc with its plugin; searches among 100,000 studies
//	go run ./e2e/bench replicate         two agents in two network namespaces against rsync and bare quic-go (root; the harness lies in the shared folder)
//	go run ./e2e/bench ingest --smoke    20 slices, one pair, in a temporary folder: that it runs, not how fast
//
// Pairs are interleaved and change their order, so that what a machine does over time falls on both. Nothing is dropped from the
// page cache and nothing is tuned. One file is one scenario; what they share is in disk.go, source.go, pairs.go and table.go.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// scenarios are what can be measured.
type scenarios struct {
	Table     everything `cmd:"" default:"withargs" help:"Every job, short, against all rivals: the table that README shows. Takes a quarter of an hour."`
	Ingest    ingest     `cmd:"" help:"dicomesh ingest against cp -r and sync -f of the same files."`
	Web       webbing    `cmd:"" help:"Server CPU of DICOMweb answers against nginx and Orthanc's plugin, and searches among 100,000 studies."`
	Replicate replicate  `cmd:"" help:"Two agents against rsync's daemon and against what quic-go alone carries: LAN, WAN, one new study, equal archives."`
	Regen     regenerate `cmd:"" help:"Rounds of dicomesh regen, in seconds of CPU: the first, thumbnails, one with nothing to do, one for an instance more."`
}

func main() {
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var all scenarios
	selected := kong.Parse(&all, kong.Name("bench"), kong.Description("Measure dicomesh against other ways of doing the same."),
		kong.BindTo(ctx, (*context.Context)(nil)))
	if err := selected.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}
