package main

import (
	"fmt"
	"strconv"

	"github.com/sambang-id/sambang/server"
)

func (a *app) roles(args []string) error {
	f := a.flags("roles")
	prefix := f.String("prefix", server.DefaultRolePrefix, a.say("awal nama peran", "what the names of the roles begin with"))
	if _, err := a.parse(f, args, 0); err != nil {
		return err
	}
	text, err := server.RolesSQL(*prefix)
	if err != nil {
		return fmt.Errorf("%w: -prefix: %w", errUsage, err)
	}
	_, err = fmt.Fprint(a.stdout, text)
	return err
}

func (a *app) schema(args []string) error {
	if _, err := a.parse(a.flags("schema"), args, 0); err != nil {
		return err
	}
	locked, err := server.PrepareStore(a.ctx, a.store)
	if err != nil {
		return err
	}
	id, en := "Tabel siap. Kunci kedua bagi bacaan pusat terpasang.", "The tables are ready. The second lock on headquarters' reads is on."
	if !locked {
		id, en = "Tabel siap. Kunci kedua bagi bacaan pusat tidak terpasang: lihat `sambangd roles`.", "The tables are ready. The second lock on headquarters' reads is off: see `sambangd roles`."
	}
	return a.done(map[string]string{"locked": strconv.FormatBool(locked)}, id, en)
}
