package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
)

// app is one run of the program.
type app struct {
	ctx            context.Context //nolint:containedctx // of the whole run
	stdin          io.Reader
	stdout, stderr io.Writer
	lang           string
	json           bool
	data, store    string
}

// command is one line of the program's usage. Several words are a command of a
// group.
type command struct {
	name, args, id, en string
	do                 func(a *app, args []string) error
}

func commands() []command {
	return []command{
		{"serve", "", "jalankan server", "run the server", (*app).serve},
		{"enrol", "", "buat kode pendaftaran untuk satu perangkat", "make an enrolment code for one device", (*app).enrol},
		{"officer add", "ID", "tambah atau ubah petugas", "add or change an officer", (*app).officerAdd},
		{"officer list", "", "daftar petugas", "list officers", (*app).officerList},
		{"officer disable", "ID", "hentikan semua perangkat seorang petugas", "stop all devices of an officer", (*app).officerDisable},
		{"officer enable", "ID", "izinkan lagi perangkat seorang petugas", "let an officer's devices work again", (*app).officerEnable},
		{"device list", "", "daftar perangkat", "list devices", (*app).deviceList},
		{"device show", "DEVICE", "rincian satu perangkat", "show one device", (*app).deviceShow},
		{"device revoke", "DEVICE", "cabut perangkat untuk seterusnya", "shut a device out for good", (*app).deviceRevoke},
		{"device wipe", "DEVICE", "cabut perangkat dan perintahkan penghapusan datanya", "shut a device out and order it to destroy its data", (*app).deviceWipe},
		{"grant set", "DEVICE", "ganti semua hak wilayah perangkat", "replace a device's grants", (*app).grantSet},
		{"grant add", "DEVICE", "tambah hak wilayah", "add grants", (*app).grantAdd},
		{"grant remove", "DEVICE", "cabut hak wilayah", "remove grants", (*app).grantRemove},
		{"grant list", "DEVICE", "hak wilayah perangkat", "list a device's grants", (*app).grantList},
		{"token", "", "buat token bagi orang di pusat", "make a token for a person at headquarters", (*app).token},
		{"inbox list", "", "daftar kiriman yang menunggu keputusan", "list what was set aside", (*app).inboxList},
		{"inbox show", "KEY", "rincian satu kiriman", "show one message", (*app).inboxShow},
		{"inbox release", "KEY", "masukkan kiriman ke dalam log", "take a message into the log", (*app).inboxRelease},
		{"inbox close", "KEY", "tutup kiriman tanpa memasukkannya", "set a message aside for good", (*app).inboxClose},
		{"purge", "RECORD", "hapus rekaman untuk selamanya", "erase a record for ever", (*app).purge},
		{"check", "", "periksa keutuhan data", "verify the store", (*app).check},
		{"restored", "", "beri tahu server bahwa datanya dipulihkan dari salinan", "tell the server that its store was put back from a backup", (*app).restored},
		{"migrate", "", "pindahkan data dari berkas SQLite ke PostgreSQL", "move the store from a file of SQLite to PostgreSQL", (*app).migrate},
		{"roles", "", "tampilkan SQL bagi pengelola PostgreSQL: peran yang berhak sedikit mungkin", "print SQL for PostgreSQL's administrator: roles of least privilege", (*app).roles},
		{"schema", "", "buat atau perbarui tabel, sebagai pemilik basis data", "make or upgrade the tables, as the database's owner", (*app).schema},
		{"backup", "FILE", "salin data selagi server berjalan", "copy the store while it is in use", (*app).backup},
	}
}

// errUsage is wrapped by errors about how the program was called.
var errUsage = errors.New("usage")

func exitCode(err error) int {
	if errors.Is(err, errUsage) {
		return 2
	}
	return 1
}

// run runs the command that args name.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	a := &app{ctx: ctx, stdin: stdin, stdout: stdout, stderr: stderr, lang: "id"}
	if v, ok := os.LookupEnv("SAMBANG_LANG"); ok {
		a.lang = v
	}
	c, rest, ok := find(args)
	if !ok {
		// -lang must be seen even if the command was not found.
		for i, arg := range args {
			if arg == "-lang" && i+1 < len(args) {
				a.lang = args[i+1]
			}
		}
		a.usage()
		if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "-help" || args[0] == "--help" {
			return nil
		}
		return fmt.Errorf("%w: %s", errUsage, a.say("perintah tidak dikenal", "no such command"))
	}
	err := c.do(a, rest)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	return a.explain(err)
}

// find returns the command that args begin with.
func find(args []string) (command, []string, bool) {
	for _, c := range commands() {
		words := strings.Fields(c.name)
		if len(args) >= len(words) && strings.Join(args[:len(words)], " ") == c.name {
			return c, args[len(words):], true
		}
	}
	return command{}, nil, false
}

func (a *app) usage() {
	fmt.Fprintln(a.stderr, a.say("Pemakaian: sambangd PERINTAH [pilihan]", "Usage: sambangd COMMAND [flags]"))
	for _, c := range commands() {
		fmt.Fprintf(a.stderr, "  %-24s %s\n", strings.TrimSpace(c.name+" "+c.args), a.say(c.id, c.en))
	}
	fmt.Fprintln(a.stderr, a.say("Pilihan sebuah perintah: sambangd PERINTAH -h", "Flags of a command: sambangd COMMAND -h"))
}

// say returns the text in the language that was asked for.
func (a *app) say(id, en string) string {
	if a.lang == "en" {
		return en
	}
	return id
}

// explained is an error in the words of its code, which say what to do.
type explained struct {
	text  string
	cause error
}

func (e explained) Error() string { return e.text }
func (e explained) Unwrap() error { return e.cause }

// explain puts the text of a code before what was wrong.
func (a *app) explain(err error) error {
	var coded *syncproto.Error
	if !errors.As(err, &coded) {
		return err
	}
	t := coded.Code.Text()
	return explained{fmt.Sprintf("%s (%s)", a.say(t.Indonesian, t.English), coded), err}
}

// flags returns the flags that every command has.
func (a *app) flags(name string) *flag.FlagSet {
	f := flag.NewFlagSet("sambangd "+name, flag.ContinueOnError)
	f.SetOutput(a.stderr)
	f.StringVar(&a.data, "data", "sambang-data", a.say("folder data", "data folder"))
	f.StringVar(&a.store, "store", "", a.say("basis data, postgres://...; kata sandi lebih aman di SAMBANG_STORE atau ~/.pgpass; bawaan: berkas di folder data", "database, postgres://...; a password is safer in SAMBANG_STORE or ~/.pgpass; default: a file in the data folder"))
	f.StringVar(&a.lang, "lang", a.lang, a.say("bahasa pesan: id atau en", "language of messages: id or en"))
	f.BoolVar(&a.json, "json", false, a.say("keluaran JSON", "output JSON"))
	return f
}

// parse reads flags from environment and args, in whatever place they stand,
// and returns the other arguments, of which there must be want.
func (a *app) parse(f *flag.FlagSet, args []string, want int) ([]string, error) {
	var failed error
	f.VisitAll(func(x *flag.Flag) {
		name := "SAMBANG_" + strings.ToUpper(strings.ReplaceAll(x.Name, "-", "_"))
		if v, ok := os.LookupEnv(name); ok && failed == nil {
			if err := f.Set(x.Name, v); err != nil {
				failed = fmt.Errorf("%w: %s: %w", errUsage, name, err)
			}
		}
	})
	if failed != nil {
		return nil, failed
	}
	var words []string
	for {
		if err := f.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		}
		if f.NArg() == 0 {
			break
		}
		words, args = append(words, f.Arg(0)), f.Args()[1:]
	}
	if len(words) != want {
		return nil, fmt.Errorf("%w: %s", errUsage, a.say(fmt.Sprintf("perlu %d argumen, ada %d", want, len(words)), fmt.Sprintf("want %d arguments, have %d", want, len(words))))
	}
	return words, nil
}

// open opens the data folder, which must be there: a mistyped name must not
// become a new and empty server.
func (a *app) open(c server.Config) (*server.Server, error) {
	c.Data, c.Store = a.data, a.store
	if _, err := os.Stat(a.data); err != nil {
		return nil, fmt.Errorf("%s: %w", a.say("folder data belum ada; jalankan `sambangd serve` dahulu atau periksa -data", "no data folder; run `sambangd serve` first or check -data"), err)
	}
	return server.New(c)
}

// with runs do on the opened data folder.
func (a *app) with(do func(s *server.Server) error) error {
	s, err := a.open(server.Config{})
	if err != nil {
		return err
	}
	return errors.Join(do(s), s.Close())
}
