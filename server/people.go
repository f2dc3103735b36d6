package server

import (
	"time"

	"github.com/sambang-id/sambang/server/internal/auth"
)

// Person is somebody at headquarters, for whom a token is made.
type Person = auth.Person

// Role is what a person may do.
type Role = auth.Role

// The roles, each with all that the one before it may do.
const (
	Viewer   = auth.Viewer   // reads the log and records of his regions
	Operator = auth.Operator // sees devices, decides about the inbox
	Admin    = auth.Admin    // enrols, revokes, changes grants, purges
)

// Token signs a token for a person that is valid for life, at most 90 days. It
// cannot be taken back: keep it short.
func (s *Server) Token(p Person, life time.Duration) (string, error) {
	return s.identity.IssuePersonToken(p, life, s.config.Now(), s.config.Rand)
}
