package pgtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// superuser is the role of the harness.
const superuser = "harness"

// initdbArgs make what production has: checksums, UTF-8, and the order of
// bytes, which is that of SQLite.
var initdbArgs = []string{"--username=" + superuser, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--data-checksums", "--no-sync", "--no-instructions"} //nolint:gochecknoglobals // a constant

// inMemory is a folder in memory, of Linux, and enough is what a few clusters at once take of it.
const (
	inMemory = "/dev/shm"
	enough   = 2 << 30
)

// place returns a folder that the account can reach: the wanted one, or in
// memory if there is room and disk is not asked for. Its name is short: the path
// of a Unix socket may have little more than 100 bytes.
func place(a account, wanted string, disk bool) (string, error) {
	candidates := []string{os.TempDir(), "/tmp", "/var/tmp"}
	switch {
	case wanted != "":
		candidates = []string{wanted}
	case !disk && room(inMemory) >= enough:
		candidates = append([]string{inMemory}, candidates...)
	}
	for _, folder := range candidates {
		if len(folder) <= 60 && a.reaches(folder) {
			return folder, nil
		}
	}
	return "", fmt.Errorf("user %d can reach none of %s", a.uid, strings.Join(candidates, ", "))
}

// newFolder makes a folder that is the account's alone.
func newFolder(a account, wanted string, disk bool) (string, error) {
	base, err := place(a, wanted, disk)
	if err != nil {
		return "", err
	}
	folder, err := os.MkdirTemp(base, "sambang-pg-")
	if err != nil {
		return "", err
	}
	if err := os.Chown(folder, a.uid, a.gid); err != nil {
		return "", errors.Join(err, os.RemoveAll(folder))
	}
	return folder, nil
}

// unpackCluster puts a new cluster into folder/data, and returns its
// superuser's password. What initdb makes in two seconds is kept as one file
// per version and user, and unpacked in a tenth of one. (One file, since a
// cleaner of temporary files could leave half of a folder.)
func unpackCluster(ctx context.Context, b binaries, a account, folder string) (password string, err error) {
	kept, err := templateName(b, a)
	if err != nil {
		return "", err
	}
	unpack := func() error {
		if !a.owns(kept) {
			return fmt.Errorf("%s is not the file of user %d alone", kept, a.uid)
		}
		if err := run(ctx, a, folder, "tar", "-xf", kept); err != nil {
			return err
		}
		text, err := os.ReadFile(filepath.Join(folder, "password"))
		password = string(text)
		return err
	}
	if unpack() == nil {
		return password, nil
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(folder, "data")), makeTemplate(ctx, b, a, kept)); err != nil {
		return "", err
	}
	return password, unpack()
}

// templateName is where a template is kept: another one for each version, and for other settings.
func templateName(b binaries, a account) (string, error) {
	base, err := place(a, "", true)
	key := sha256.Sum256([]byte(b.folder + b.version + strings.Join(initdbArgs, " ")))
	return filepath.Join(base, fmt.Sprintf("sambang-pgtest-%d-%x.tar", a.uid, key[:8])), err
}

// makeTemplate runs initdb and keeps the result, whole or not at all.
func makeTemplate(ctx context.Context, b binaries, a account, kept string) (err error) {
	folder, err := newFolder(a, "", true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	password := filepath.Join(folder, "password")
	if err := os.WriteFile(password, []byte(rand.Text()), 0o600); err != nil {
		return err
	}
	if err := os.Chown(password, a.uid, a.gid); err != nil {
		return err
	}
	args := append([]string{"--pgdata=data", "--pwfile=password"}, initdbArgs...)
	if err := run(ctx, a, folder, filepath.Join(b.folder, "initdb"), args...); err != nil {
		return err
	}
	if err := run(ctx, a, folder, "tar", "-cf", "tar", "data", "password"); err != nil {
		return err
	}
	made := filepath.Join(folder, "tar")
	if err := os.Chmod(made, 0o600); err != nil {
		return err
	}
	if err := syncFile(made); err != nil { // a power cut must not leave half of it under the name
		return err
	}
	return os.Rename(made, kept)
}

func syncFile(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// run runs a program as the account; the error holds what it said.
func run(ctx context.Context, a account, folder, name string, args ...string) error {
	out, err := a.command(ctx, folder, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
