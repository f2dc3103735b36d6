package sambang

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
	"github.com/sambang-id/sambang/client-sdk/internal/transport"
	"github.com/sambang-id/sambang/internal/ablate"
	"github.com/sambang-id/sambang/internal/disk"
	"github.com/sambang-id/sambang/syncproto"
)

// ID names a record for ever.
type ID = syncproto.RecordID

// Replica is one install of the SDK with its file. It is safe for concurrent
// use: writes wait for each other, reads wait for nothing, and neither waits
// for the network.
type Replica struct {
	opts   Options
	log    *slog.Logger
	db     *cache.DB
	signer crypto.Signer

	writer sync.Mutex            // held by the one transaction
	state  atomic.Pointer[state] // of the last commit; nil when closed
	random sync.Mutex            // guards Options.Rand

	exchange chan struct{} // holds one token: one sync at a time
	client   atomic.Pointer[transport.Client]
	online   onlineState
	watchers watchers
	hint     chan struct{} // there may be a network
	wake     chan struct{} // something for Run to look at
	pace     pace
	batches  int    // of the next request; guarded by exchange
	gapTried uint64 // the gap that filling did not close; guarded by exchange
}

// Open opens the replica in the folder dir, and makes it if the folder has
// none. It needs no network and starts nothing. One process may have it open at
// a time.
//
// Errors: [syncproto.CodeCacheInUse], [syncproto.CodeCacheForeign],
// [syncproto.CodeCacheDamaged], [syncproto.CodeCacheNewer],
// [syncproto.CodeCacheWrongKey] (also for a missing key, and for Plain where
// the file is sealed or the reverse), [syncproto.CodeConflictingIdentity] when
// the Signer is not the one before; the file is unchanged then.
// [syncproto.CodeNoSpace] when the disk is full.
func Open(dir string, opts Options) (*Replica, error) {
	hand := disk.Of(opts.Rand) // the checker's; an app has none
	if hand == nil {
		return open(dir, opts, nil)
	}
	return open(dir, opts, func(op cache.Op, do func() error) error { return hand(disk.Op(op), do) })
}

func open(dir string, opts Options, fault func(cache.Op, func() error) error) (*Replica, error) {
	opts = opts.withDefaults()
	r := &Replica{opts: opts, log: opts.Logger, exchange: make(chan struct{}, 1), hint: make(chan struct{}, 1), wake: make(chan struct{}, 1), batches: opts.PushBatches, pace: usualPace()}
	r.opts.Rand = lockedReader{&r.random, opts.Rand}
	db, err := cache.Open(dir, cache.Options{Key: opts.Key, Plain: opts.Plain, MarkDir: opts.MarkDir, Rand: r.opts.Rand, Log: opts.Logger, Fault: fault})
	if err != nil {
		return nil, storageError(err)
	}
	r.db = db
	if err := r.start(); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("open replica %q: %w", dir, storageError(err))
	}
	return r, nil
}

// start loads the state, or makes it, and takes a new replica id if the file
// is not the one that the mark was written for.
func (r *Replica) start() error {
	var st state
	var found bool
	err := r.db.View(func(tx *cache.Tx) (err error) {
		st, found, err = loadState(tx)
		return err
	})
	if err != nil {
		return err
	}
	if !found {
		if st, err = r.newState(); err != nil {
			return err
		}
	}
	if r.signer, err = r.openSigner(&st.device); err != nil {
		return err
	}
	r.state.Store(&st)
	why := ""
	switch mark, found := r.db.ReadMark(); {
	case len(st.incarnations) == 0:
		why = "first"
	case r.opts.RotateOnOpen:
		why = "every open"
	case ablate.Off(ablate.A04Fence):
	case found != cache.MarkValid:
		why = "mark " + found.String()
	case mark != markOf(st.minter):
		why = "mark of another state: restored, copied, or cut while writing"
	}
	if why == "" {
		return nil
	}
	return r.update(func(t *txn) error {
		if !found {
			t.old = &state{} // so that every part is written
		}
		return t.rotate(why)
	})
}

func (r *Replica) newState() (state, error) {
	var st state
	if r.opts.Signer != nil {
		algorithm, public, err := publicKey(r.opts.Signer)
		if err != nil {
			return st, err
		}
		st.device = deviceState{Algorithm: algorithm, PublicKey: public}
		return st, nil
	}
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(r.opts.Rand, seed); err != nil {
		return st, fmt.Errorf("draw the device key: %w", err)
	}
	public := ed25519.NewKeyFromSeed(seed)[ed25519.SeedSize:]
	st.device = deviceState{Algorithm: transport.EdDSA, PublicKey: public, Seed: seed}
	return st, nil
}

func (r *Replica) openSigner(d *deviceState) (crypto.Signer, error) {
	if r.opts.Signer == nil {
		if len(d.Seed) != ed25519.SeedSize {
			return nil, fmt.Errorf("%w: this replica's key is the app's: set Options.Signer", syncproto.CodeConflictingIdentity)
		}
		return ed25519.NewKeyFromSeed(d.Seed), nil
	}
	algorithm, public, err := publicKey(r.opts.Signer)
	if err != nil {
		return nil, err
	}
	if algorithm != d.Algorithm || string(public) != string(d.PublicKey) {
		return nil, fmt.Errorf("%w: Options.Signer is not the key that this replica was made with", syncproto.CodeConflictingIdentity)
	}
	return r.opts.Signer, nil
}

// publicKey returns the public half in the form that the server registers: raw
// Ed25519, or PKIX for P-256.
func publicKey(s crypto.Signer) (algorithm string, key []byte, err error) {
	switch k := s.Public().(type) {
	case ed25519.PublicKey:
		return transport.EdDSA, k, nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			key, err := x509.MarshalPKIXPublicKey(k)
			return transport.ES256, key, err
		}
	}
	return "", nil, syncproto.Errorf(syncproto.CodeMalformed, "Options.Signer is neither Ed25519 nor ECDSA on P-256")
}

// sign signs as the server verifies outside of tokens: Ed25519 over the
// message, ECDSA over its SHA-256 in ASN.1.
func (r *Replica) sign(message []byte) ([]byte, error) {
	if _, ok := r.signer.Public().(ed25519.PublicKey); ok {
		return r.signer.Sign(r.opts.Rand, message, crypto.Hash(0))
	}
	sum := sha256.Sum256(message)
	return r.signer.Sign(r.opts.Rand, sum[:], crypto.SHA256)
}

// Close ends watches, waits for running transactions and closes the file. A
// Sync or Run that is under way fails with [syncproto.CodeCacheClosed]: end
// their contexts first. Closing twice is no error.
func (r *Replica) Close() error {
	r.writer.Lock()
	r.state.Store(nil)
	r.writer.Unlock()
	r.watchers.close()
	if c := r.client.Load(); c != nil {
		c.CloseIdle()
	}
	return r.db.Close()
}

// load returns the present state, or CodeCacheClosed.
func (r *Replica) load() (*state, error) {
	if st := r.state.Load(); st != nil {
		return st, nil
	}
	return nil, syncproto.CodeCacheClosed
}

// nowMillis is the time of day as the server would tell it.
func (r *Replica) nowMillis(st *state) int64 { return r.opts.Clock().UnixMilli() + st.link.Offset }

type lockedReader struct {
	mu *sync.Mutex
	r  io.Reader
}

func (l lockedReader) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Read(p)
}
