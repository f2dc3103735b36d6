package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
)

// app is one call of the command.
type app struct {
	in       io.Reader
	out, err io.Writer
	english  bool
	r        *sambang.Replica
}

// command is one of the subcommands.
type command struct {
	name, args string
	help       text
	run        func(a *app, ctx context.Context, args []string) error
}

// errUsage: the command was not called as it must be; the help has been shown.
var errUsage = errors.New("usage")

// run is the command with its world given.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) error {
	a := &app{in: in, out: out, err: errOut}
	flags := flag.NewFlagSet("sambang", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	dir := flags.String("dir", "sambang-data", "")
	key := flags.String("key", "", "")
	plain := flags.Bool("plain", false, "")
	packName := flags.String("pack", "timpora", "")
	lang := flags.String("lang", "id", "")
	err := flags.Parse(args)
	a.english = *lang == "en"
	rest := flags.Args()
	switch {
	case errors.Is(err, flag.ErrHelp), err == nil && (len(rest) == 0 || rest[0] == "help"):
		a.help(out)
		return nil
	case err != nil:
		return a.usage(err.Error())
	}
	cmd := find(rest[0])
	if cmd == nil {
		return a.usage(a.say(textUnknown, rest[0]))
	}
	o := sambang.Options{App: "sambang-cli", Plain: *plain, RotateOnOpen: true}
	switch *packName {
	case "timpora":
		o.Pack = pack.Timpora()
	case "none":
	default:
		return a.usage(a.say(textNoPack, *packName))
	}
	if *plain {
		fmt.Fprintln(errOut, a.say(textPlain))
	} else if o.Key, err = readKey(*key, *dir); err != nil {
		return a.explain(err)
	}
	if a.r, err = sambang.Open(*dir, o); err != nil {
		return a.explain(err)
	}
	err = cmd.run(a, ctx, rest[1:])
	return a.explain(errors.Join(err, a.r.Close()))
}

// explain adds what to do to an error that has a code.
func (a *app) explain(err error) error {
	if err == nil || errors.Is(err, errUsage) {
		return err
	}
	code := syncproto.CodeOf(err)
	if code == syncproto.CodeInternal {
		return err
	}
	t := code.Text()
	if a.english {
		return fmt.Errorf("%s\n  (%w)", t.English, err)
	}
	return fmt.Errorf("%s\n  (%w)", t.Indonesian, err)
}

func (a *app) usage(what string) error {
	a.help(a.err)
	return fmt.Errorf("%s: %w", what, errUsage)
}

func (a *app) help(w io.Writer) {
	fmt.Fprintln(w, a.say(textHelp))
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-46s %s\n", strings.TrimSpace(c.name+" "+c.args), a.say(c.help))
	}
}

func find(name string) *command {
	for _, c := range commands() {
		if c.name == name {
			return &c
		}
	}
	return nil
}

// readKey reads the file's key, and makes one at the first use: 64 hexadecimal
// digits in a file beside the data folder, for its owner alone.
func readKey(path, dir string) ([]byte, error) {
	if path == "" {
		path = filepath.Clean(dir) + ".key"
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key := make([]byte, sambang.KeySize)
		if _, err := rand.Read(key); err != nil {
			return nil, fmt.Errorf("draw a key: %w", err)
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, fmt.Errorf("make the key file: %w", err)
		}
		_, err = fmt.Fprintln(f, hex.EncodeToString(key))
		return key, errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("read the key file: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(key) != sambang.KeySize {
		return nil, fmt.Errorf("%s: %w", path, syncproto.CodeCacheWrongKey)
	}
	return key, nil
}
