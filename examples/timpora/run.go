package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("timpora", flag.ContinueOnError)
	flags.SetOutput(out)
	data := flags.String("data", "", "folder of the server and the phones; must be new. Default: a temporary one, removed at the end")
	once := flags.Bool("once", false, "end when all is told, instead of serving until Ctrl-C")
	listen := flags.String("listen", "127.0.0.1:0", "address of the server")
	lang := flags.String("lang", "id", "language: id or en")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	dir := *data
	if dir == "" {
		tmp, err := os.MkdirTemp("", "timpora-*")
		if err != nil {
			return fmt.Errorf("make a temporary folder: %w", err)
		}
		defer os.RemoveAll(tmp)
		dir = tmp
	} else if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("folder %q is not empty: the story needs a new one", dir)
	}

	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	s, err := newStory(serving, dir, *listen, &teller{out: out, english: *lang == "en", live: isTerminal(out)})
	if err != nil {
		stop()
		return err
	}
	defer s.close()
	defer stop()
	if err := s.play(ctx); err != nil {
		return err
	}
	s.now.Store(0) // the story is over: from here on the clock is the real one
	hq, err := s.headquarters()
	if err != nil {
		return err
	}
	if err := s.tell(ctx, hq); err != nil {
		return err
	}
	if *once {
		return nil
	}
	s.say.step(textStays)
	select {
	case <-ctx.Done():
		s.say.step(textStopping)
		return nil
	case err := <-s.stopped:
		s.stopped <- err
		return err
	}
}

// isTerminal reports whether progress may be drawn over itself.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
