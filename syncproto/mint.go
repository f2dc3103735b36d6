package syncproto

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/sambang-id/sambang/internal/ablate"
)

// Digest is a SHA-256 sum.
type Digest [32]byte

// Minter is the end of one replica's history, and the only place where dots
// are made: replica, counter, chain head and clock. It is immutable; every
// write returns the next one, which must be stored in the transaction of the
// write and fenced by the mark outside the database before it (I2).
type Minter struct {
	replica ReplicaID
	n       uint64
	head    Digest
	clock   HLC
}

// NewMinter starts the history of a fresh replica id. clock is the greatest
// time that the store has seen.
func NewMinter(replica ReplicaID, clock HLC) Minter {
	return Minter{replica: replica, head: ChainStart(replica), clock: clock}
}

// ResumeMinter continues a stored history.
func ResumeMinter(replica ReplicaID, n uint64, head Digest, clock HLC) Minter {
	return Minter{replica, n, head, clock}
}

// Replica returns the id under which the minter writes.
func (m Minter) Replica() ReplicaID { return m.replica }

// N returns the counter of the last write, 0 before the first.
func (m Minter) N() uint64 { return m.n }

// Head returns the chain head after the last write.
func (m Minter) Head() Digest { return m.head }

// Clock returns the time of the last write, or a later one observed.
func (m Minter) Clock() HLC { return m.clock }

// Observe returns the minter with its clock not before a remote time, unless
// that is more than toleranceMillis ahead of now.
func (m Minter) Observe(remote HLC, nowMillis, toleranceMillis int64) Minter {
	m.clock = m.clock.Observe(remote, nowMillis, toleranceMillis)
	return m
}

// Mint is one write as the journal keeps it.
type Mint struct {
	Record RecordID
	Path   string
	Dot    Dot
	HLC    HLC
	Value  Value
	Step   Digest // the write's link of the chain
	Head   Digest // the chain after it
}

// mint makes the next dot, of now.
func (m Minter) mint(id RecordID, path string, v Value, nowMillis int64) (Minter, Mint) {
	return m.mintAt(id, path, v, m.clock.Next(nowMillis), nowMillis)
}

// Write is one assignment of a local transaction.
type Write struct {
	Path  string
	Value Value
}

// Overwritten is a sibling that a local write replaced.
type Overwritten struct {
	Path    string
	Sibling Sibling
}

// Write applies local writes to a record, in the order of writes (4.2). Every
// sibling that the record shows at a path is replaced: that is what resolving
// a conflict is. ownHigh is the highest counter with which this replica ever
// wrote the record, kept even when the record was evicted; a record that does
// not show it has a hole, nothing may be minted on it, and the error has code
// [CodeHole]: rotate the replica id and write again.
//
// The caller stores the record, the minter and the mints in one transaction,
// and ships the overwritten siblings that the server has not acknowledged as
// history.
func (m Minter) Write(r Record, ownHigh uint64, nowMillis int64, writes ...Write) (Record, Minter, []Mint, []Overwritten, error) {
	if own := r.ctx.Get(m.replica); !ablate.Off(ablate.A12OwnHigh) && own < ownHigh {
		return r, m, nil, nil, Errorf(CodeHole, "record shows %d of this replica's writes up to %d", own, ownHigh)
	}
	if r.ctx.Get(m.replica) > m.n {
		return r, m, nil, nil, Errorf(CodeHole, "record has seen more of this replica than it wrote")
	}
	if m.n+uint64(len(writes)) > MaxCounter {
		return r, m, nil, nil, Errorf(CodeBadVector, "counter of the replica is used up")
	}
	start := m
	mints := make([]Mint, 0, len(writes))
	var over []Overwritten
	out := r
	out.fields = slices.Clone(r.fields)
	for _, w := range writes {
		if err := CheckPath(w.Path); err != nil {
			return r, start, nil, nil, err
		}
		if w.Value.IsZero() {
			return r, start, nil, nil, Errorf(CodeBadValue, "write without a value")
		}
		if ablate.Off(ablate.A03DeleteHasDot) && w.Value.IsNull() {
			out.fields = slices.DeleteFunc(out.fields, func(f Field) bool { return f.Path == w.Path })
			continue
		}
		var mint Mint
		m, mint = m.mint(r.id, w.Path, w.Value, nowMillis)
		mints = append(mints, mint)
		field := Field{w.Path, []Sibling{{Dot: mint.Dot, HLC: mint.HLC, Value: w.Value}}}
		i, found := findField(out.fields, w.Path)
		if found {
			for _, s := range out.fields[i].Siblings {
				over = append(over, Overwritten{w.Path, s})
			}
			out.fields[i] = field
		} else {
			out.fields = slices.Insert(out.fields, i, field)
		}
	}
	if len(out.fields) > MaxFields {
		return r, start, nil, nil, Errorf(CodeTooMany, "record of %d fields, at most %d", len(out.fields), MaxFields)
	}
	if len(mints) > 0 {
		out.ctx = out.ctx.With(Dot{m.replica, m.n})
	}
	if out.ctx.Len() > MaxVectorEntries {
		return r, start, nil, nil, Errorf(CodeTooMany, "context of %d entries, at most %d", out.ctx.Len(), MaxVectorEntries)
	}
	return out, m, mints, over, nil
}

// with returns the record with the siblings of one register replaced and
// their dots seen.
func (r Record) with(path string, siblings []Sibling) Record {
	out := r
	i, found := findField(r.fields, path)
	out.fields = slices.Clone(r.fields)
	if found {
		out.fields[i] = Field{path, siblings}
	} else {
		out.fields = slices.Insert(out.fields, i, Field{path, siblings})
	}
	for _, s := range siblings {
		out.ctx = out.ctx.With(s.Dot)
	}
	return out
}

// Remint is the repair after a proven fork (4.8): every sibling of the forked
// id above acked is written again under m's id, with the same value and time,
// and the record's context forgets what it claimed of the forked id beyond
// acked. It costs possible false conflicts and loses nothing.
func Remint(r Record, forked ReplicaID, acked uint64, m Minter, nowMillis int64) (Record, Minter, []Mint) {
	acked = max(acked, r.floor.Get(forked))
	if r.ctx.Get(forked) <= acked {
		return r, m, nil
	}
	var mints []Mint
	out := Record{id: r.id, ctx: r.ctx.without(forked, acked), floor: r.floor, fields: slices.Clone(r.fields)}
	for i, f := range out.fields {
		siblings := make([]Sibling, 0, len(f.Siblings))
		for _, s := range f.Siblings {
			if s.Dot.Replica == forked && s.Dot.N > acked {
				hlc := s.HLC
				var mint Mint
				m, mint = m.mintAt(r.id, f.Path, s.Value, hlc, nowMillis)
				mints = append(mints, mint)
				s.Dot = mint.Dot
			}
			siblings = append(siblings, s)
		}
		slices.SortFunc(siblings, func(a, b Sibling) int {
			if a.Dot.Less(b.Dot) {
				return -1
			}
			return 1
		})
		out.fields[i].Siblings = siblings
	}
	if len(mints) > 0 {
		out.ctx = out.ctx.With(Dot{m.replica, m.n})
	}
	return out, m, mints
}

// mintAt makes the next dot with a time of the past.
func (m Minter) mintAt(id RecordID, path string, v Value, at HLC, nowMillis int64) (Minter, Mint) {
	m.n++
	if ablate.Off(ablate.A05Counter) {
		m.n = max(m.n, clockCounter(nowMillis))
	}
	m.clock = m.clock.Next(nowMillis)
	dot := Dot{m.replica, m.n}
	step := Step(id, path, dot, at, v)
	m.head = Chain(m.head, step)
	return m, Mint{Record: id, Path: path, Dot: dot, HLC: at, Value: v, Step: step, Head: m.head}
}

// ChainStart returns the chain head of a replica before its first write.
func ChainStart(replica ReplicaID) Digest {
	b := binary.BigEndian.AppendUint64([]byte("sambang-chain"), uint64(replica))
	return sha256.Sum256(b)
}

// Chain returns the head after one more write: SHA-256(head | step).
func Chain(head, step Digest) Digest {
	var b [64]byte
	copy(b[:], head[:])
	copy(b[32:], step[:])
	return sha256.Sum256(b[:])
}

// Step returns the digest of one write: SHA-256("sambang-mint" | record id |
// length of path as uint16 | path | replica | counter | HLC | SHA-256(value)),
// integers big endian.
func Step(id RecordID, path string, dot Dot, hlc HLC, v Value) Digest {
	value := sha256.Sum256([]byte(v.json))
	return StepOf(id, path, dot, hlc, value)
}

// StepOf is [Step] for a write of which only the hash of the value is known.
func StepOf(id RecordID, path string, dot Dot, hlc HLC, value Digest) Digest {
	var scratch [384]byte
	b := append(scratch[:0], "sambang-mint"...)
	b = append(b, id[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(path)))
	b = append(b, path...)
	b = binary.BigEndian.AppendUint64(b, uint64(dot.Replica))
	b = binary.BigEndian.AppendUint64(b, dot.N)
	b = binary.BigEndian.AppendUint64(b, uint64(hlc))
	b = append(b, value[:]...)
	return sha256.Sum256(b)
}
