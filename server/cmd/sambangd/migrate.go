package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sambang-id/sambang/server"
)

func (a *app) migrate(args []string) error {
	f := a.flags("migrate")
	from := f.String("from", "", a.say("berkas asal, sqlite:/jalur/sambang.db; bawaan: yang di folder data", "the file to move, sqlite:/path/sambang.db; default: that of the data folder"))
	to := f.String("to", "", a.say("basis data tujuan, postgres://...; kata sandi lebih aman di SAMBANG_TO atau ~/.pgpass; bawaan: nilai -store", "the database to move it to, postgres://...; a password is safer in SAMBANG_TO or ~/.pgpass; default: what -store says"))
	damage := f.Bool("with-damage", false, a.say("bawa juga baris yang rusak, tetap ditandai rusak", "take damaged rows along, marked as such"))
	seed := f.Uint64("seed", 0, a.say("bibit contoh acak yang dibandingkan; bawaan: acak", "the seed of the sample that is compared; default: random"))
	if _, err := a.parse(f, args, 0); err != nil {
		return err
	}
	if *from == "" {
		*from = "sqlite:" + filepath.Join(a.data, server.StoreFile)
	}
	if *to == "" {
		*to = a.store
	}
	shown := progress{app: a, now: time.Now}
	result, err := server.Migrate(a.ctx, server.Migration{
		From: *from, To: *to, WithDamage: *damage, Seed: *seed, Progress: shown.show,
		Problem: func(p string) { fmt.Fprintln(a.stderr, a.say("masalah:", "problem:"), p) },
	})
	if err != nil {
		return err
	}
	key := filepath.Join(filepath.Dir(strings.TrimPrefix(*from, "sqlite:")), "server.key")
	if a.json {
		return a.show(result, nil, nil)
	}
	if result.Before {
		fmt.Fprintln(a.stdout, a.say("Sudah selesai sebelumnya; tidak ada yang diubah.", "It was finished before; nothing was changed."))
		return nil
	}
	var rows [][]string
	for _, t := range result.Tables {
		rows = append(rows, []string{t.Name, strconv.FormatInt(t.Rows, 10), strconv.FormatInt(t.Copied, 10), strconv.FormatInt(t.Deleted, 10)})
	}
	if err := a.show(result, []string{a.say("TABEL", "TABLE"), a.say("BARIS", "ROWS"), a.say("DISALIN", "COPIED"), a.say("DIHAPUS", "DELETED")}, rows); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, a.say(
		fmt.Sprintf("Kedua sisi sama: semua kunci dan jumlah periksa, %d lingkup, %d baris contoh byte demi byte (bibit %d).", result.Scopes, result.Sample, result.Seed),
		fmt.Sprintf("Both sides are the same: all keys and sums, %d scopes, a sample of %d rows byte for byte (seed %d).", result.Scopes, result.Sample, result.Seed)))
	if n := len(result.Problems); n > 0 {
		fmt.Fprintln(a.stdout, a.say(
			fmt.Sprintf("%d masalah ikut dipindahkan dan tetap ditandai; isi %d baris hanya ada di berkas lama: simpan berkas itu.", n, len(result.Emptied)),
			fmt.Sprintf("%d problems came along, and stay marked; contents of %d rows are in the old file alone: keep it.", n, len(result.Emptied))))
	}
	fmt.Fprintln(a.stdout, a.say(
		"Selesai. Berkas lama tidak dapat ditulis lagi. Hentikan server lama, lalu jalankan `sambangd serve -store ...` dengan "+key+" yang sama; tanpa kunci itu perangkat tidak mengenali server.",
		"Done. The old file can't be written any more. Stop the old server, then run `sambangd serve -store ...` with the same "+key+"; without it devices do not know the server."))
	return nil
}

// progress tells how far a move is: each phase and table, and every other second
// the rows.
type progress struct {
	*app
	now  func() time.Time
	last server.MigrationProgress
	told time.Time
}

const tellAgain = 2 * time.Second

func (p *progress) show(x server.MigrationProgress) {
	if x.Table == "" {
		fmt.Fprintln(p.stderr, p.phase(x.Phase))
		return
	}
	now := p.now()
	if x.Total == 0 || x == p.last || x.Done < x.Total && now.Sub(p.told) < tellAgain {
		return
	}
	p.last, p.told = x, now
	fmt.Fprintf(p.stderr, "%s %s: %d / %d\n", p.phase(x.Phase), x.Table, x.Done, x.Total)
}

func (p *progress) phase(name string) string {
	texts := map[string][2]string{
		"fence":        {"menunggu giliran menulis berkas asal", "waiting for the lock of the source"},
		"check_source": {"memeriksa asal", "checking the source"},
		"clear":        {"membersihkan", "clearing"},
		"copy":         {"menyalin", "copying"},
		"compare":      {"membandingkan", "comparing"},
		"check_target": {"memeriksa tujuan", "checking the target"},
		"mark":         {"menandai asal sebagai dipindahkan", "marking the source as moved"},
		"finish":       {"membuka tujuan", "opening the target"},
	}
	t := texts[name]
	return p.say(t[0], t[1])
}
