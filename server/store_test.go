package server_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sambang-id/sambang/internal/pgtest"
	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
)

// An address may hold a password at any place, if it was typed wrongly.
func TestAnAddressOfNoKnownFormIsRefusedAndNotShown(t *testing.T) {
	for _, address := range []string{"mysql://u:s3cret@h/d", "s3cret", "u:s3cret@host/d", "postgres:s3cret", "s3cret://", " postgres://u:s3cret@h/d", "host=h password=s3cret"} {
		dir := filepath.Join(t.TempDir(), "data")
		_, err := server.New(server.Config{Data: dir, Store: address})
		if !errors.Is(err, syncproto.CodeStoreAddress) || !errors.Is(err, server.ErrConfig) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v", address, err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: made a data folder: %v", address, err)
		}
	}
}

func TestAPasswordIsInNoErrorAndNoLog(t *testing.T) {
	good, err := url.Parse(pgtest.Start(t).Database(t))
	if err != nil {
		t.Fatal(err)
	}
	wrong := *good
	wrong.User = url.UserPassword(good.User.Username(), "s3cret")
	for _, address := range []string{wrong.String(), "postgres://u:s3cret@127.0.0.1:1/d", "postgres://u:s3cret@[::1/d", "postgres://u:s3cret%zz@127.0.0.1/d"} {
		var log bytes.Buffer
		s, err := server.New(server.Config{Data: t.TempDir(), Store: address, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		if err == nil {
			_ = s.Close()
			t.Fatalf("%s was opened", address)
		}
		if strings.Contains(err.Error()+log.String(), "s3cret") {
			t.Errorf("%v\n%s", err, &log)
		}
	}
}

func TestAStoreInPostgreSQL(t *testing.T) {
	c := server.Config{Data: t.TempDir(), Store: pgtest.Start(t).Database(t), URL: "http://127.0.0.1:1"}
	opened(t, c, func(s *server.Server) {
		if err := s.PutOfficer(t.Context(), server.Officer{ID: "budi", Name: "Budi Rekaan", Agency: "imigrasi"}); err != nil {
			t.Fatal(err)
		}
		if err := s.Check(t.Context(), func(p string) { t.Error(p) }); err != nil {
			t.Error(err)
		}
		copied := filepath.Join(t.TempDir(), "copy")
		if err := s.Backup(t.Context(), copied); syncproto.CodeOf(err) != syncproto.CodeStoreBackup || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("backup: %v", err)
		}
		if _, err := os.Stat(copied); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a backup that was refused left a file: %v", err)
		}
	})
	opened(t, c, func(s *server.Server) {
		all, err := s.Officers(t.Context())
		if err != nil || len(all) != 1 || all[0].ID != "budi" {
			t.Errorf("officers: %v, %v", all, err)
		}
	})
	if _, err := os.Stat(filepath.Join(c.Data, server.StoreFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a store in the data folder: %v", err)
	}
}

// opened opens a server for as long as fn runs.
func opened(t *testing.T, c server.Config, fn func(*server.Server)) {
	t.Helper()
	s, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	fn(s)
}

// A server tells that its database is gone, and recovers by itself when it is
// back; metrics say how busy the connections are; it stops when told, also
// without a database.
func TestTheHealthOfAServerOnPostgreSQL(t *testing.T) {
	database := pgtest.StartOwn(t, pgtest.Options{})
	at := time.Now()
	c := server.Config{
		Data: t.TempDir(), Store: database.Database(t), URL: "http://127.0.0.1:1",
		Now: func() time.Time { at = at.Add(time.Minute); return at }, // no answer is remembered
	}
	opened(t, c, func(s *server.Server) {
		get := func(path string) (int, string) {
			rec := httptest.NewRecorder()
			s.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, http.NoBody))
			return rec.Code, rec.Body.String()
		}
		if status, body := get("/readyz"); status != http.StatusOK {
			t.Errorf("%d %s", status, body)
		}
		_, metrics := get("/metrics")
		for _, want := range []string{
			`sambang_store_connections{pool="writers",state="most"} 8`, `sambang_store_connections_opened_total{pool="readers"} `,
			`sambang_store_connection_waits_total{pool="writers"} `, `sambang_store_rows{what="devices"} 0`,
		} {
			if !strings.Contains(metrics, want) {
				t.Errorf("no %s in the metrics", want)
			}
		}
		if err := database.Stop(pgtest.Crash); err != nil {
			t.Fatal(err)
		}
		if status, body := get("/readyz"); status != http.StatusServiceUnavailable {
			t.Errorf("without a database: %d %s", status, body)
		}
		if status, _ := get("/healthz"); status != http.StatusOK {
			t.Errorf("the process does not answer without a database: %d", status)
		}
		if err := database.Resume(); err != nil {
			t.Fatal(err)
		}
		if status, body := get("/readyz"); status != http.StatusOK {
			t.Errorf("the database is back: %d %s", status, body)
		}
		if err := database.Stop(pgtest.Crash); err != nil {
			t.Fatal(err)
		}
	})
	if err := database.Resume(); err != nil {
		t.Fatal(err)
	}
}
