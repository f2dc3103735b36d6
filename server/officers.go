package server

import (
	"context"
	"errors"
	"unicode"
	"unicode/utf8"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// Officer is a person who may hold devices.
type Officer struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Agency   string `json:"agency"`
	Role     string `json:"role"`
	Disabled bool   `json:"disabled"`
}

// PutOfficer adds an officer, or replaces the one with the same id. The id is
// 1 to 64 of a-z, 0-9, "-", "_" and "."; the role's default is "officer".
func (s *Server) PutOfficer(ctx context.Context, o Officer) error {
	if o.Role == "" {
		o.Role = "officer"
	}
	if !isName(o.ID) || !isName(o.Role) || !isText(o.Name) || !isText(o.Agency) {
		return syncproto.Errorf(syncproto.CodeMalformed, "an officer needs id and role of a-z, 0-9, -, _ and ., and a name and agency of 1 to 100 characters")
	}
	return s.registry(ctx, func(tx store.Tx) error { return tx.PutOfficer(store.Officer(o)) })
}

// DisableOfficer stops, or lets again, all devices of an officer.
func (s *Server) DisableOfficer(ctx context.Context, id string, disabled bool) error {
	return s.registry(ctx, func(tx store.Tx) error {
		o, err := tx.Officer(id)
		if err != nil {
			return notFound(err, "officer", id)
		}
		o.Disabled = disabled
		return tx.PutOfficer(o)
	})
}

// Officers returns all officers in order of their ids.
func (s *Server) Officers(ctx context.Context) ([]Officer, error) {
	var all []Officer
	err := s.store.View(ctx, func(r store.Reader) error {
		rows, err := r.Officers()
		for _, o := range rows {
			all = append(all, Officer(o))
		}
		return err
	})
	return all, err
}

// registry runs do in a step that holds the registry.
func (s *Server) registry(ctx context.Context, do func(store.Tx) error) error {
	return s.store.Update(ctx, store.Step{Scopes: []string{store.RegistryScope}, Do: func(tx store.Tx) ([]store.Step, error) { return nil, do(tx) }})
}

// notFound turns the store's answer into a code, with what was looked for.
func notFound(err error, what, id string) error {
	if errors.Is(err, store.ErrNotFound) {
		return syncproto.Errorf(syncproto.CodeNotFound, "no %s %q", what, id)
	}
	return err
}

func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

func isText(s string) bool {
	for _, r := range s {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return false
		}
	}
	return s != "" && utf8.RuneCountInString(s) <= 100
}
