package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// oldest is the major version from which on the store promises to work.
const oldest = 15

// ErrMissing says that this machine cannot run a PostgreSQL.
var ErrMissing = errors.New("no PostgreSQL on this machine")

// binaries are the programs of one installation.
type binaries struct {
	folder       string
	major, minor int
	version      string // what `postgres --version` says
}

var versionNumber = regexp.MustCompile(`^postgres \(PostgreSQL\) (\d+)(?:\.(\d+))?`)

// findBinaries returns the newest installation in the PATH or where Debian
// puts it; ErrMissing if there is none that is new enough.
func findBinaries(ctx context.Context) (binaries, error) {
	folders, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return binaries{}, err
	}
	if name, err := exec.LookPath("postgres"); err == nil {
		if name, err = filepath.EvalSymlinks(name); err == nil {
			folders = append(folders, filepath.Dir(name))
		}
	}
	return newest(ctx, folders)
}

func newest(ctx context.Context, folders []string) (binaries, error) {
	var best binaries
	var old string
	for _, folder := range folders {
		out, err := exec.CommandContext(ctx, filepath.Join(folder, "postgres"), "--version").Output()
		if err != nil {
			continue // a rest of an installation
		}
		if _, err := os.Stat(filepath.Join(folder, "initdb")); err != nil {
			continue
		}
		number := versionNumber.FindStringSubmatch(string(out))
		if number == nil {
			continue
		}
		b := binaries{folder: folder, version: string(out)}
		b.major, _ = strconv.Atoi(number[1])
		b.minor, _ = strconv.Atoi(number[2]) // none in a beta
		switch {
		case b.major < oldest:
			old = fmt.Sprintf(" (%s has %d, too old)", folder, b.major)
		case b.major > best.major, b.major == best.major && b.minor > best.minor:
			best = b
		}
	}
	if best.folder == "" {
		return best, fmt.Errorf("%w: neither the PATH nor /usr/lib/postgresql has one of version %d or newer%s; install Debian's `postgresql`", ErrMissing, oldest, old)
	}
	return best, nil
}
