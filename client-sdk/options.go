package sambang

import (
	"crypto"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
)

// KeySize is the length of [Options.Key] in bytes.
const KeySize = 32

// Options of [Open]. A Key, or Plain, must be given; the rest may stay zero.
type Options struct {
	// Key seals the file, [KeySize] bytes from the phone's keystore. It is
	// needed at every Open; without it the file is unreadable. Default: none,
	// then Plain must be set.
	Key []byte
	// Plain keeps the file in clear text, for development without a keystore;
	// [Status.Plain] says so. A file is sealed or plain for life. Default: false.
	Plain bool
	// MarkDir is the folder of the mark by which a restored or copied file is
	// noticed. On Android: a folder below getNoBackupFilesDir(). Default:
	// "mark" in the replica's folder.
	MarkDir string
	// RotateOnOpen takes a new replica id at every Open. Set it where a whole
	// disk image can be restored, mark included: desktops, virtual machines.
	// Default: false.
	RotateOnOpen bool

	// Signer is the device's key: an Ed25519 key, or ECDSA on P-256 for keys
	// that live in hardware. It must be the same at every Open. Default: an
	// Ed25519 key made at the first Open and kept in the sealed file.
	Signer crypto.Signer
	// Pack says what kinds and fields mean. Default: none; every top-level
	// field is a register of its own, of class D.
	Pack *pack.Pack
	// App is the name and version of the app, shown to headquarters. Default:
	// "sambang".
	App string

	// Transport carries the requests; it must be safe for concurrent use.
	// Default: HTTP/1.1 or 2 with TLS 1.2 or later, trusting the pin of the
	// enrolment code, or the system's authorities if the code has none.
	Transport http.RoundTripper
	// RequestTimeout bounds one request with its response; a link on which
	// nothing moves is given up after 90 seconds. Default: 10 minutes.
	RequestTimeout time.Duration

	// PushItems bounds the records in one batch of a push. Default: and at
	// most, [syncproto.MaxBatchItems].
	PushItems int
	// PushBatches bounds the batches in one request. After a failure a request
	// starts with one and doubles with each success, so that a bad link still
	// gets forward. Default: and at most, [syncproto.MaxBatches].
	PushBatches int
	// PullEntries bounds what one response brings, about. What arrived before
	// a link broke stays. Default: 20,000.
	PullEntries int

	// Clock tells the time of day. It may be wrong: times are corrected by the
	// server's, and order never depends on them. Default: time.Now.
	Clock func() time.Time
	// Rand gives ids, nonces and jitter. Default: crypto/rand.Reader.
	Rand io.Reader
	// Logger hears of syncs and repairs, never of contents. Default: silent.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.App == "" {
		o.App = "sambang"
	}
	if o.RequestTimeout == 0 {
		o.RequestTimeout = 10 * time.Minute
	}
	o.PushItems = atMost(o.PushItems, syncproto.MaxBatchItems)
	o.PushBatches = atMost(o.PushBatches, syncproto.MaxBatches)
	if o.PullEntries <= 0 {
		o.PullEntries = 20_000
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// atMost returns n, or limit if n is not set or beyond it.
func atMost(n, limit int) int {
	if n <= 0 {
		return limit
	}
	return min(n, limit)
}
