package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/internal/pgtest"
	"github.com/sambang-id/sambang/syncproto"
)

// said runs a command and returns what it says.
func said(args ...string) (out, errs string, err error) {
	var o, e bytes.Buffer
	err = run(context.Background(), args, nil, &o, &e)
	return o.String(), e.String(), err
}

func TestMigrateSaysWhatItDoes(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	to := pgtest.Start(t).Database(t)
	if _, errs, err := said("restored", "-data", data); err == nil {
		t.Fatalf("no folder, and it says %s", errs)
	}
	_, stop, _ := serving(t, data)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := said("officer", "add", "budi", "-name", "Budi Rekaan", "-agency", "imigrasi", "-data", data); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SAMBANG_TO", to)
	out, errs, err := said("migrate", "-data", data, "-seed", "7")
	if err != nil {
		t.Fatalf("%v %s", err, errs)
	}
	for _, want := range []string{"officers", "bibit 7", "Kedua sisi sama", filepath.Join(data, "server.key"), "serve -store"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	for _, want := range []string{"memeriksa asal", "menyalin officers: 1 / 1", "membandingkan officers: 1 / 1", "memeriksa tujuan", "menandai asal", "membuka tujuan"} {
		if !strings.Contains(errs, want) {
			t.Errorf("it does not tell %q:\n%s", want, errs)
		}
	}
	out, _, err = said("migrate", "-data", data, "-json")
	var result struct {
		ID     string
		Before bool `json:"finished_before"`
	}
	if json.Unmarshal([]byte(out), &result) != nil || err != nil || !result.Before || result.ID == "" {
		t.Errorf("the second time: %v %s", err, out)
	}
	if out, _, err = said("migrate", "-data", data, "-lang", "en"); err != nil || !strings.Contains(out, "finished before") {
		t.Errorf("the third time: %v %s", err, out)
	}
	_, _, err = said("officer", "list", "-data", data)
	if !errors.Is(err, syncproto.CodeStoreMoved) || !strings.Contains(err.Error(), "sudah dipindahkan") {
		t.Errorf("a command on the moved file: %v", err)
	}
	if _, _, err = said("officer", "list", "-data", data, "-lang", "en"); !strings.Contains(err.Error(), "was moved to another database") {
		t.Errorf("in English: %v", err)
	}
	if out, _, err := said("officer", "list", "-data", data, "-store", to); err != nil || !strings.Contains(out, "budi") {
		t.Errorf("a command on the database: %v %s", err, out)
	}
}

func TestMigrateRefusesWhatItCantDo(t *testing.T) {
	for name, c := range map[string]struct {
		from, to string
		want     syncproto.Code
	}{
		"the other way":         {"postgres://u:s3cret@h/d", "sqlite:/tmp/x.db", syncproto.CodeMoveDirection},
		"postgres to postgres":  {"postgresql://u:s3cret@h/d", "postgres://u:s3cret@h/d", syncproto.CodeMoveDirection},
		"file to file":          {"sqlite:a.db", "sqlite:b.db", syncproto.CodeMoveDirection},
		"a file without scheme": {"a.db", "postgres://u:s3cret@h/d", syncproto.CodeMoveDirection},
		"no file":               {"sqlite:", "postgres://u:s3cret@h/d", syncproto.CodeMoveDirection},
		"nowhere":               {"sqlite:a.db", "", syncproto.CodeStoreAddress},
		"another database":      {"sqlite:a.db", "mysql://u:s3cret@h/d", syncproto.CodeStoreAddress},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"migrate", "-data", t.TempDir(), "-from", c.from}
			if c.to != "" {
				args = append(args, "-to", c.to)
			}
			_, errs, err := said(args...)
			if !errors.Is(err, c.want) || strings.Contains(err.Error()+errs, "s3cret") {
				t.Errorf("%v %s", err, errs)
			}
		})
	}
	missing := filepath.Join(t.TempDir(), "none.db")
	if _, _, err := said("migrate", "-from", "sqlite:"+missing, "-to", "postgres://u:s3cret@127.0.0.1:1/d"); err == nil || !strings.Contains(err.Error(), "none.db") {
		t.Errorf("a file that is not there: %v", err)
	}
	if made, _ := filepath.Glob(missing + "*"); len(made) > 0 {
		t.Errorf("it made %v", made)
	}
}
