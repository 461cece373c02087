// Command dicomesh keeps deduplicated DICOM archives: it takes Part 10 files in, gives the same bytes back, and says truthfully how the archive is.
//
// This package holds commands and flags and nothing else; each command is one file here, and what it does is in the packages that it calls.
// Results go to stdout, everything said about them to stderr.
//
// Exit codes: 0 done, 1 found a fault or some items failed, 2 usage, 3 cannot reach the agent, 4 waited in vain.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/alecthomas/kong"
)

// commands are what can be typed after dicomesh. A command that does not exist yet is not listed.
type commands struct {
	LogLevel string           `enum:"debug,info,warn,error," default:"" placeholder:"LEVEL" help:"What is logged to stderr: debug, info, warn or error (info; agent: log.level of its configuration)."`
	Version  kong.VersionFlag `help:"Print the version and exit."`

	Demo demoCommand `cmd:"" help:"See it work: three sites on this machine, a cut, and a rejoin."`

	Agent     agentCommand     `cmd:"" help:"Run a site."`
	Status    statusCommand    `cmd:"" help:"Say how a running site and its cluster are."`
	Sites     sitesCommand     `cmd:"" help:"List the sites of the cluster."`
	Studies   studiesCommand   `cmd:"" help:"List the studies of a running site."`
	Study     studyCommand     `cmd:"" help:"Say how one study is, and who holds it."`
	Conflicts conflictsCommand `cmd:"" help:"List the studies that wait for a human."`
	Diff      diffCommand      `cmd:"" help:"Say what another site holds otherwise."`
	Events    eventsCommand    `cmd:"" help:"Tell what happened at a running site."`
	Wait      waitCommand      `cmd:"" help:"Wait until studies are settled, or the cluster is whole."`

	Init  initCommand  `cmd:"" help:"Make a cluster, of which this site is the first."`
	Token tokenCommand `cmd:"" help:"Make a join token, with which one site can join."`
	Join  joinCommand  `cmd:"" help:"Make this site one of a cluster."`

	AckDown ackDownCommand `cmd:"" help:"Say that a site is down and not to be waited for."`
	Remove  removeCommand  `cmd:"" help:"Take a site out of the cluster for ever."`

	Access accessCommand `cmd:"" help:"Say who may use the HTTP port of a site: tokens."`

	Sample sample        `cmd:"" help:"Write synthetic studies: phantoms of CT, MR and ultrasound."`
	Ingest ingestCommand `cmd:"" help:"Put Part 10 files into an archive."`
	Export exportCommand `cmd:"" help:"Give the files back, byte for byte."`
	Import importCommand `cmd:"" help:"Take over an archive that static-wado wrote."`
	Verify verifyCommand `cmd:"" help:"Say whether an archive is sound."`
	Regen  regenCommand  `cmd:"" help:"Make the DICOMweb files of an archive's studies."`
	Serve  serveCommand  `cmd:"" help:"Answer DICOMweb clients from these files."`

	Combine combineCommand `cmd:"" help:"Write the instance files and lists of each study once more, as one list."`
	GC      gcCommand      `cmd:"" name:"gc" help:"Remove lists and instance files that others account for."`

	Completion completionCommand `cmd:"" help:"Print a script with which a shell completes these words."`
	Complete   completeCommand   `cmd:"" hidden:"" help:"Print the words that may stand where the last one is."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run does what the arguments say and returns the exit code. Help and version end the process by themselves.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var all commands
	parser, err := newParser(ctx, &all, stdout, stderr)
	if err != nil {
		return tell(stderr, err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	selected, err := parser.Parse(args)
	if err != nil {
		return tell(stderr, usage(err))
	}
	t := newTerminal(stdout, stderr, all.LogLevel)
	t.json = asksJSON(selected)
	if selected.Command() == "agent" { // it runs for months beside others: memory counts for more than a little CPU
		return tell(stderr, helped(t.ended(selected.Run(t)), selected.Selected()))
	}
	ballast := make([]byte, idleHeap)
	defer runtime.KeepAlive(ballast)
	return tell(stderr, helped(t.ended(selected.Run(t)), selected.Selected()))
}

// idleHeap is held and never touched, so that it takes no memory, but the collector counts it: it waits until as much again is garbage. Where little is live, as in most ingests, it then runs
// as seldom as with GOGC=400, which saves 4 % of their CPU; where much is, as of an instance of a million frames, the heap is twice of that, and not five times.
const idleHeap = 16 << 20

// asksJSON reports whether a command is to say what it says as JSON.
func asksJSON(c *kong.Context) bool {
	for _, f := range c.Flags() {
		if f.Name == "json" {
			asked, is := c.FlagValue(f).(bool)
			return is && asked
		}
	}
	return false
}

// newParser makes what reads a command line into all.
func newParser(ctx context.Context, all *commands, stdout, stderr io.Writer) (*kong.Kong, error) {
	parser, err := kong.New(all, kong.Name("dicomesh"), kong.Description(about), kong.Vars{"version": version()},
		kong.Writers(stdout, stderr), kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}), kong.BindTo(ctx, (*context.Context)(nil)))
	if err == nil {
		parser.Model.HelpFlag.Help = "Print this, and exit."
	}
	return parser, err
}

const about = `Keep deduplicated DICOM archives: any Part 10 file in, the same bytes out.

Exit codes: 0 done, 1 found a fault or some items failed, 2 usage, 3 cannot reach the agent, 4 waited in vain.`
