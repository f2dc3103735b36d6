// Command load puts a server under attack and under load, and says whether it holds.
//
//	go run ./load memory          hostile bodies and slow connections, one kind after the other, then all at once
//	go run ./load push            a fleet reconnects within a minute while headquarters reads
//	go run ./load push -quick     a tenth of it, for the pipeline
//
// What is always true of it:
//   - the server is a process of its own, with its real listener, its default limits and SQLite on a disk;
//     its memory is what the kernel says of that process (VmHWM);
//   - callers have addresses of their own within 127.0.0.0/8, so that limits per address meet each of them as
//     they would outside;
//   - the devices of `push` are the real SDK, the reports are its own; nothing here knows the sync rules;
//   - bounds of memory, errors and goroutines decide the exit code. Times are printed with their verdict, and
//     decide it with -strict alone: machines are noisy.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/sambang-id/sambang/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp): // the text is printed
	case err != nil:
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// serveCommand makes this program the server's process.
const serveCommand = "serve"

var errBroken = errors.New("a bound is broken")

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	command := ""
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	switch command {
	case "memory":
		return runMemory(ctx, args, stdout, stderr)
	case "push":
		return runPush(ctx, args, stdout, stderr)
	case serveCommand:
		if len(args) != 2 {
			return errors.New("serve is for the program itself: it takes a folder and limits")
		}
		var limits server.Limits
		if err := json.Unmarshal([]byte(args[1]), &limits); err != nil {
			return fmt.Errorf("read the limits: %w", err)
		}
		return serve(ctx, args[0], limits, stdin, stdout)
	}
	return errors.New("say what to do: load memory, or load push; -h after it lists the options")
}

// common options of both commands.
type common struct {
	dir     string
	profile string
	seed    uint64
	strict  bool
}

func (c *common) flags(name string, stderr io.Writer) *flag.FlagSet {
	f := flag.NewFlagSet("load "+name, flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&c.dir, "dir", "", "`directory` of the server's data, on the disk to measure. Default: the system's temporary directory")
	f.StringVar(&c.profile, "profile", "", "write CPU profiles of both processes into `directory`")
	f.Uint64Var(&c.seed, "seed", uint64(time.Now().UnixNano()), "seed of what is random. Default: the time") //nolint:gosec // a positive number
	f.BoolVar(&c.strict, "strict", false, "times decide the exit code too")
	return f
}
