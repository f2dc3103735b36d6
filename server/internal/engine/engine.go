package engine

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/sambang-id/sambang/internal/ablate"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
)

// Config is what an engine needs.
type Config struct {
	Store store.Store
	// ServerID is in every receipt.
	ServerID string
	// ReceiptKey signs receipts; ReceiptKeyID names it.
	ReceiptKey   ed25519.PrivateKey
	ReceiptKeyID string
	// ProjectKey is the root of the keys for natural keys, 32 bytes.
	ProjectKey []byte
	// Pack says what records mean, for the documents that headquarters reads.
	// Default: none; every field is shown as it is.
	Pack *pack.Pack
	// Rand gives nonces, stamps and replica ids. Default: crypto/rand.Reader.
	Rand io.Reader
	// Logger is silent by default.
	Logger *slog.Logger
}

// Engine applies the sync rules to a store. It is safe for concurrent use.
type Engine struct {
	store   store.Store
	config  Config
	rand    io.Reader
	logger  *slog.Logger
	writer  writer
	project func(syncproto.Record) (document, error)
}

// New returns an engine on a store. It starts nothing.
func New(c Config) *Engine {
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Engine{store: c.Store, config: c, rand: &lockedReader{r: c.Rand}, logger: c.Logger}
	e.project = projector(c.Pack)
	return e
}

// writer is the server as a replica. It gets a new id at every process start,
// at the first write of its own, so that a restored store never sees two
// histories under one id (A23), and again whenever a transaction with its
// writes may have failed.
type writer struct {
	mu     sync.Mutex
	minter syncproto.Minter
}

// mint runs write with the server's minter and keeps the minter that it
// returns. The steps of an update may run again, and a dot used in a failed
// attempt is simply skipped.
func (e *Engine) mint(now int64, write func(syncproto.Minter) (syncproto.Minter, error)) error {
	e.writer.mu.Lock()
	defer e.writer.mu.Unlock()
	if e.writer.minter.Replica() == 0 {
		var b [8]byte
		if _, err := io.ReadFull(e.rand, b[:]); err != nil {
			return fmt.Errorf("draw a replica id: %w", err)
		}
		if ablate.Off(ablate.A23ServerReplica) {
			copy(b[:], e.config.ServerID)
		}
		e.writer.minter = syncproto.NewMinter(syncproto.ReplicaID(binary.BigEndian.Uint64(b[:])|1), syncproto.HLCFromMillis(now))
	}
	m, err := write(e.writer.minter)
	if m.N() > e.writer.minter.N() {
		e.writer.minter = m
	}
	return err
}

// forgetWriter makes the next server-side write use a new replica id.
func (e *Engine) forgetWriter() {
	e.writer.mu.Lock()
	defer e.writer.mu.Unlock()
	e.writer.minter = syncproto.Minter{}
}

// update runs steps and forgets the server's replica id if they may have
// failed, because then nobody knows which of its dots are durable.
func (e *Engine) update(ctx context.Context, steps ...store.Step) error {
	err := e.store.Update(ctx, steps...)
	if err != nil {
		e.forgetWriter()
	}
	return err
}

func (e *Engine) random16() ([16]byte, error) {
	var b [16]byte
	if _, err := io.ReadFull(e.rand, b[:]); err != nil {
		return b, fmt.Errorf("draw random bytes: %w", err)
	}
	return b, nil
}

// lockedReader lets concurrent requests share one seeded source in tests.
type lockedReader struct {
	mu sync.Mutex
	r  io.Reader
}

func (l *lockedReader) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Read(p)
}
