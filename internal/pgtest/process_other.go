//go:build !unix

package pgtest

import (
	"context"
	"fmt"
	"os/exec"
)

// Where there is no Unix, this package starts no server: serverAccount says so,
// and nothing else of this file is reached. A server that
// SAMBANG_TEST_POSTGRES_URL names works everywhere.

type account struct{ uid, gid int }

func serverAccount() (account, error) {
	return account{}, fmt.Errorf("%w: one is started on Unix only; name a server in SAMBANG_TEST_POSTGRES_URL", ErrMissing)
}

func (account) command(ctx context.Context, _, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, name, args...)
}

func (account) owns(string) bool    { return false }
func (account) reaches(string) bool { return false }
func room(string) uint64            { return 0 }
func crash(int) ([]int, error)      { return nil, ErrMissing }
func childrenOf(int) []int          { return nil }
func gone(int) bool                 { return true }

type watchdog struct{}

func startWatchdog(account, string) (*watchdog, error) { return nil, ErrMissing }
func (*watchdog) watch(int) error                      { return ErrMissing }
func (*watchdog) finish() error                        { return ErrMissing }
