package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	sambang "github.com/sambang-id/sambang/client-sdk"

	"github.com/sambang-id/sambang/bench/internal/workload"
)

// openPhone opens a device's folder. The key is no secret here; sealing costs the same.
func openPhone(dir string) (*sambang.Replica, error) {
	return sambang.Open(dir, sambang.Options{Key: make([]byte, sambang.KeySize), App: "bench/1"})
}

// fields returns what an application would give to Create.
func fields(r workload.Record) sambang.Fields {
	m := r.Map()
	for _, name := range []string{"id", "kind", "region"} {
		delete(m, name)
	}
	return m
}

func create(p *sambang.Replica, r workload.Record) error {
	return p.CreateWith(sambang.ID(r.UUID()), r.Kind, r.Region, fields(r))
}

// edit sets one member of a field, as a form does: it writes the field.
func edit(p *sambang.Replica, c recordEdit) error {
	return p.Edit(c.id, func(d *sambang.Draft) error {
		if len(c.path) == 1 {
			d.Set(c.path[0], c.value)
			return nil
		}
		object, ok := d.Get(c.path[0]).(map[string]any)
		if !ok {
			return fmt.Errorf("field %s is no object", c.path[0])
		}
		next := make(map[string]any, len(object))
		for k, v := range object {
			next[k] = v
		}
		next[c.path[1]] = c.value
		d.Set(c.path[0], next)
		return nil
	})
}

type recordEdit struct {
	id    sambang.ID
	path  []string
	value string
}

// enrolled opens a device's folder and enrols it.
func enrolled(ctx context.Context, s *site, dir, name string) (*sambang.Replica, error) {
	p, err := openPhone(dir)
	if err != nil {
		return nil, err
	}
	code, err := s.enrol(name)
	if err == nil {
		err = p.Enrol(ctx, code, name)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("enrol %s: %w", name, err), p.Close())
	}
	return p, nil
}

// written makes a device's folder with records that nobody has seen yet.
func written(dir string, records []workload.Record) error {
	p, err := openPhone(dir)
	if err != nil {
		return err
	}
	for _, r := range records {
		if err := create(p, r); err != nil {
			return errors.Join(err, p.Close())
		}
	}
	return p.Close()
}

// copyDir copies a folder that nobody writes to. Its files hold keys: only their owner may read the copies.
func copyDir(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), content, 0o600)
	})
}

func sub(dir string, names ...string) string {
	return filepath.Join(append([]string{dir}, names...)...)
}
