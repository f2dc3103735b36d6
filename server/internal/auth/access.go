package auth

import (
	"errors"
	"slices"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sambang-id/sambang/syncproto"
)

// Role is what a person at headquarters may do.
type Role string

// The roles, each with all that the one before it may do.
const (
	Viewer   Role = "viewer"   // reads the log and records of his regions
	Operator Role = "operator" // sees devices, decides about the inbox
	Admin    Role = "admin"    // enrols, revokes, changes grants, purges
)

// Roles returns all roles, from the one that may least.
func Roles() []Role { return []Role{Viewer, Operator, Admin} }

func (r Role) known() bool { return slices.Contains(Roles(), r) }

// Action is what a route does, as far as permission goes.
type Action string

// The actions.
const (
	Public        Action = "public"         // no token: time, health, enrolment
	Sync          Action = "sync"           // a device exchanges with the log
	ReadLog       Action = "log.read"       // the merged log and its records
	ReadDevices   Action = "devices.read"   // devices, custody, completeness
	DecideInbox   Action = "inbox.decide"   // release or close what was set aside
	ManageDevices Action = "devices.manage" // enrol, revoke, wipe, grants
	PurgeRecords  Action = "records.purge"  // erase for ever
)

// Actions returns all actions.
func Actions() []Action {
	return []Action{Public, Sync, ReadLog, ReadDevices, DecideInbox, ManageDevices, PurgeRecords}
}

// least names the lowest role that may take an action.
//
//nolint:gochecknoglobals // a table, never written to
var least = map[Action]Role{
	ReadLog: Viewer, ReadDevices: Operator, DecideInbox: Operator, ManageDevices: Admin, PurgeRecords: Admin,
}

// Can reports whether the role covers the action. What it covers in which
// region is decided by the person's grants, where the rows are selected.
func (r Role) Can(a Action) bool {
	need, ok := least[a]
	return ok && r.known() && slices.Index(Roles(), r) >= slices.Index(Roles(), need)
}

// personError turns an error of the JWT library into one code.
func personError(err error) error {
	var own *syncproto.Error
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, jwt.ErrTokenInvalidClaims) && errors.Is(err, jwt.ErrTokenInvalidAudience):
		return syncproto.Errorf(syncproto.CodeWrongServer, "the token is not for this server")
	case errors.Is(err, jwt.ErrTokenInvalidClaims) && errors.Is(err, jwt.ErrTokenExpired):
		return syncproto.Errorf(syncproto.CodeTokenExpired, "the token has expired")
	}
	return invalid("has no form, signature or claims that can be verified")
}
