// Command sambangd is Sambang's server and its administration.
//
//	sambangd serve -data /var/lib/sambang -url https://sync.example.go.id -tls-cert c.pem -tls-key k.pem
//	sambangd officer add budi -name "Budi Rekaan" -agency imigrasi
//	sambangd enrol -officer budi -region 35.24.14 -classes D,T
//
// All commands work on the data folder, also while a server serves it. Each
// flag can be set in the environment: -tls-cert is SAMBANG_TLS_CERT.
//
// With -store postgres://USER@HOST/DATABASE the store is in PostgreSQL, where
// several servers may share it. Others on the machine can read a command line,
// so a password belongs into SAMBANG_STORE or a password file (~/.pgpass).
// sambangd migrate moves a store from the data folder there. Messages
// are Indonesian, with -lang en English; -json gives JSON instead of tables.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sambangd:", err)
		os.Exit(exitCode(err))
	}
}
