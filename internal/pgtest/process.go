//go:build unix

package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// account is who runs the server: PostgreSQL refuses to run as root.
type account struct {
	uid, gid int
	other    bool // not who runs this process
}

func serverAccount() (account, error) {
	if uid := os.Getuid(); uid != 0 {
		return account{uid: uid, gid: os.Getgid()}, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return account{}, fmt.Errorf("%w: it does not run as root, and there is no user postgres", ErrMissing)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return account{}, err
	}
	gid, err := strconv.Atoi(u.Gid)
	return account{uid: uid, gid: gid, other: true}, err
}

// command makes a program run as the account, in a session of its own: an
// interrupt at the terminal is for the test, whose end is then noticed. Nothing
// of the caller's PG* environment reaches it.
func (a account) command(ctx context.Context, folder, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = folder
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + folder, "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if a.other {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)} //nolint:gosec // ids are 32 bits
	}
	return cmd
}

// owns tells whether the file is the account's alone, and a plain file.
func (a account) owns(name string) bool {
	info, err := os.Lstat(name)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == a.uid
}

// reaches tells whether the account may pass through every folder above name.
func (a account) reaches(name string) bool {
	if !a.other {
		return true
	}
	for ; ; name = filepath.Dir(name) {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if name == filepath.Dir(name) {
			return true
		}
	}
}

// room returns how many bytes are free in folder.
func room(folder string) uint64 {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(folder, &stat); err != nil {
		return 0
	}
	return stat.Bavail * uint64(stat.Bsize) //nolint:gosec,unconvert // differs between systems
}

// watchdogScript gets the folder as $1 and, on its stdin, the process id of
// each new postmaster, 0 for none. That stdin ends is the end of the test
// process. The postmaster's working folder tells that the id is still its own.
const watchdogScript = `
pid=0
while read -r line; do pid=$line; done
data=$1/data
ours() { kill -0 "$pid" 2>/dev/null && { [ ! -e /proc/self/cwd ] || [ "$(readlink "/proc/$pid/cwd")" = "$data" ]; }; }
if [ "$pid" -gt 0 ] && ours; then
	kill -QUIT "$pid"
	n=0
	while ours && [ $n -lt 100 ]; do
		sleep 0.1
		n=$((n + 1))
	done
	ours && kill -KILL "$pid"
fi
rm -rf "$1"
`

// watchdog outlives this process, and cleans up behind it.
type watchdog struct {
	pipe io.WriteCloser
	cmd  *exec.Cmd
}

func startWatchdog(a account, folder string) (*watchdog, error) {
	// Not a context that ends: the watchdog must outlive what it watches.
	cmd := a.command(context.Background(), "/", "/bin/sh", "-c", watchdogScript, "sambang-pgtest-watchdog", folder)
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the watchdog: %w", err)
	}
	return &watchdog{pipe: pipe, cmd: cmd}, nil
}

// watch tells it which postmaster is the present one; 0: none.
func (w *watchdog) watch(pid int) error {
	if _, err := fmt.Fprintf(w.pipe, "%d\n", pid); err != nil {
		return fmt.Errorf("the watchdog is gone: %w", err)
	}
	return nil
}

// finish lets it clean up now, and waits.
func (w *watchdog) finish() error {
	return errors.Join(w.pipe.Close(), w.cmd.Wait())
}

// crash kills the postmaster and all its children, and returns the children:
// the postmaster, stopped, neither starts another one nor sees one die.
func crash(postmaster int) (children []int, err error) {
	if err := syscall.Kill(postmaster, syscall.SIGSTOP); err != nil {
		return nil, err
	}
	for range 1000 { // the signal is on its way; without /proc there is nothing to wait for
		if state, _ := processState(postmaster); state == "T" || state == "" {
			break
		}
		time.Sleep(time.Millisecond)
	}
	children = childrenOf(postmaster)
	for _, pid := range append(slices.Clone(children), postmaster) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return nil, err
		}
	}
	return children, nil
}

// childrenOf returns the processes whose parent is pid. Without /proc it knows
// none; then they end by themselves when they see that the postmaster did.
func childrenOf(pid int) []int {
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	var children []int
	for _, name := range names {
		if child, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
			if _, parent := processState(child); parent == pid {
				children = append(children, child)
			}
		}
	}
	return children
}

// processState returns a process's state letter and its parent, of Linux.
func processState(pid int) (state string, parent int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0
	}
	// pid (name) state parent ...; a name may hold anything, also a parenthesis.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 2 {
		return "", 0
	}
	parent, err = strconv.Atoi(fields[1])
	if err != nil {
		return "", 0
	}
	return fields[0], parent
}

// gone tells whether a process has ended; one that nobody has waited for has.
func gone(pid int) bool {
	if state, _ := processState(pid); state == "Z" {
		return true
	}
	return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}
