package store

import "context"

// An engine that several servers can share at once has these abilities too.
// What one server alone knows is enough without them.

// TokenMemory remembers the single-use tokens of devices for all servers.
type TokenMemory interface {
	// UseToken records that a device used the token jti, which no server takes
	// after end, at time now; both are Unix milliseconds. It reports false if it
	// was used before, at whichever server: exactly one caller gets true. What it
	// recorded may be lost if the database crashes within a second.
	//
	// It forgets what ended [TokenSlack] before now: servers whose clocks differ
	// by less never take a token that one of them has forgotten.
	UseToken(ctx context.Context, device, jti string, end, now int64) (fresh bool, err error)
}

// TokenSlack is for how long after its end a token is remembered, in
// milliseconds.
const TokenSlack = 15 * 60 * 1000

// ServerPin keeps which server the store belongs to: servers that share a store
// must sign with one key, which is in none of its rows.
type ServerPin interface {
	// PinServer keeps server as the id of the store's servers if it has none
	// yet, and returns the one that it has.
	PinServer(ctx context.Context, server string) (string, error)
	// PinnedServer returns the id of the store's servers, "" if it has none yet.
	PinnedServer(ctx context.Context) (string, error)
}

// Pooled is a store that reaches its database over pools of connections.
type Pooled interface {
	Pools() []Pool
}

// Pool says how busy a pool is.
type Pool struct {
	Name string
	// Busy and Idle are the open connections, Most how many there may be.
	Busy, Idle, Most int
	// Opened counts the connections that were made since the start, Waits the
	// callers that found none free and waited for one to be freed or made, Waited
	// for how many seconds in all.
	Opened, Waits uint64
	Waited        float64
}

// Clock tells the time of the database, which is the same for all its servers.
type Clock interface {
	// Time returns Unix microseconds, as of some moment within the call.
	Time(ctx context.Context) (int64, error)
}

// Wakes is a store whose servers tell each other that something was committed,
// so that who follows the log hears of it at once. What is told is a hint that
// may be lost: whoever needs to know looks for himself now and then.
type Wakes interface {
	// Tell tells all other servers that something was committed.
	Tell(ctx context.Context) error
	// Hear calls heard when it begins to listen, because something may have been
	// missed before, and whenever another server tells something. It returns when
	// ctx is done, or with the error that ended it.
	Hear(ctx context.Context, heard func()) error
}
