package wire

import (
	"strings"
	"unicode/utf8"

	"github.com/sambang-id/sambang/syncproto"
)

// Decoder reads the messages of one frame. It is used by one goroutine.
type Decoder struct {
	tables    *Tables
	pathErrs  []error // nil, or as long as the paths
	scopeErrs []error // nil, or as long as the scopes
	scratch   []syncproto.Dot
}

// NewDecoder checks the tables of a frame; nil tables are empty ones. A bad
// path or scope in them is not an error here: it is one of each item that
// uses it.
func NewDecoder(t *Tables) (*Decoder, error) {
	if n := max(len(t.GetReplicas()), len(t.GetPaths()), len(t.GetScopes())); n > MaxTableEntries {
		return nil, syncproto.Errorf(syncproto.CodeTooMany, "table of %d entries, at most %d", n, MaxTableEntries)
	}
	d := &Decoder{tables: t}
	if t == nil {
		d.tables = &Tables{}
		return d, nil
	}
	for i, p := range t.Paths {
		if err := syncproto.CheckPath(p); err != nil {
			if d.pathErrs == nil {
				d.pathErrs = make([]error, len(t.Paths))
			}
			d.pathErrs[i] = err
		}
	}
	for i, s := range t.Scopes {
		if err := checkScope(s); err != nil {
			if d.scopeErrs == nil {
				d.scopeErrs = make([]error, len(t.Scopes))
			}
			d.scopeErrs[i] = err
		}
	}
	return d, nil
}

func checkScope(s string) error {
	if !utf8.ValidString(s) {
		return syncproto.Errorf(syncproto.CodeInvalidUTF8, "scope is not valid UTF-8")
	}
	_, err := syncproto.ParseScope(s)
	return err
}

// Scope returns the scope at index i of the table.
func (d *Decoder) Scope(i uint32) (syncproto.Scope, error) {
	if int64(i) >= int64(len(d.tables.Scopes)) {
		return "", syncproto.Errorf(syncproto.CodeBadScope, "scope %d of a table of %d", i, len(d.tables.Scopes))
	}
	if d.scopeErrs != nil && d.scopeErrs[i] != nil {
		return "", d.scopeErrs[i]
	}
	return syncproto.Scope(d.tables.Scopes[i]), nil
}

// Vector decodes v; nil is the empty vector.
func (d *Decoder) Vector(v *Vector) (syncproto.VV, error) {
	if len(v.GetReplica()) != len(v.GetN()) {
		return syncproto.VV{}, syncproto.Errorf(syncproto.CodeBadVector, "version vector of %d replicas and %d counters", len(v.Replica), len(v.N))
	}
	if len(v.GetReplica()) > syncproto.MaxVectorEntries {
		return syncproto.VV{}, syncproto.Errorf(syncproto.CodeTooMany, "version vector of %d entries, at most %d", len(v.Replica), syncproto.MaxVectorEntries)
	}
	d.scratch = d.scratch[:0]
	for i, r := range v.GetReplica() {
		replica, err := d.replica(r)
		if err != nil {
			return syncproto.VV{}, err
		}
		d.scratch = append(d.scratch, syncproto.Dot{Replica: replica, N: v.N[i]})
	}
	return syncproto.NewVV(d.scratch...)
}

// Delta decodes m. Its values share memory with the message.
func (d *Decoder) Delta(m *Delta) (syncproto.Delta, error) {
	// Before memory is spent on siblings of a byte each.
	if n, err := checkColumns(m); err == nil && n > syncproto.MaxRecordBytes/SiblingBytes {
		return syncproto.Delta{}, syncproto.Errorf(syncproto.CodeTooLarge, "record of %d siblings", n)
	}
	out, err := d.unbounded(m)
	if err != nil {
		return syncproto.Delta{}, err
	}
	if n := DeltaSize(out); n > syncproto.MaxRecordBytes {
		return syncproto.Delta{}, syncproto.Errorf(syncproto.CodeTooLarge, "record of %d bytes, at most %d", n, syncproto.MaxRecordBytes)
	}
	return out, nil
}

// unbounded is Delta for what was stored: a record may outgrow its limit when
// concurrent edits meet, and must be readable all the same.
func (d *Decoder) unbounded(m *Delta) (syncproto.Delta, error) {
	id, err := recordID(m.GetId())
	if err != nil {
		return syncproto.Delta{}, err
	}
	n, err := checkColumns(m)
	if err != nil {
		return syncproto.Delta{}, err
	}
	var vv [3]syncproto.VV
	for i, v := range [3]*Vector{m.Base, m.Ctx, m.Floor} {
		if vv[i], err = d.Vector(v); err != nil {
			return syncproto.Delta{}, err
		}
	}
	fields, err := d.fields(m, n, vv[1])
	if err != nil {
		return syncproto.Delta{}, err
	}
	return syncproto.NewDelta(id, vv[0], vv[1], vv[2], fields)
}

// Name returns what a receipt calls an item, of which the rest may be wrong:
// the record's id and the sender's context. What can't be read of the two is
// zero.
func (d *Decoder) Name(m *Delta) (syncproto.RecordID, syncproto.VV) {
	id, err := recordID(m.GetId())
	if err != nil {
		id = syncproto.RecordID{}
	}
	ctx, err := d.Vector(m.GetCtx())
	if err != nil {
		ctx = syncproto.VV{}
	}
	return id, ctx
}

// fields reads the columns of m, which has n siblings, into rows.
func (d *Decoder) fields(m *Delta, n int, ctx syncproto.VV) ([]syncproto.Field, error) {
	out := make([]syncproto.Field, len(m.Path))
	siblings := make([]syncproto.Sibling, n)
	if err := d.siblings(siblings, m, ctx); err != nil {
		return nil, err
	}
	for i, p := range m.Path {
		path, err := d.path(p)
		if err != nil {
			return nil, err
		}
		n := 1
		if len(m.Siblings) > 0 {
			n = int(m.Siblings[i])
		}
		out[i] = syncproto.Field{Path: path, Siblings: siblings[:n:n]}
		siblings = siblings[n:]
	}
	return out, nil
}

// siblings fills out, which is as long as the columns are.
func (d *Decoder) siblings(out []syncproto.Sibling, m *Delta, ctx syncproto.VV) error {
	hlc, values := d.tables.Hlc, m.Values
	for i := range out {
		s := &out[i]
		replica, err := d.replica(at(m.Replica, i))
		if err != nil {
			return err
		}
		n, back := ctx.Get(replica), at(m.Back, i)
		if back >= n {
			return syncproto.Errorf(syncproto.CodeBadVector, "a dot of replica %s is not in the context", replica)
		}
		hlc += uint64(at(m.Hlc, i))
		s.Dot = syncproto.Dot{Replica: replica, N: n - back}
		s.HLC = syncproto.HLC(hlc)
		var v string
		if v, values, _ = strings.Cut(values, "\n"); v != "" {
			if s.Value, err = syncproto.ParseValueString(v); err != nil {
				return err
			}
		}
	}
	for _, i := range m.Suspect {
		if int64(i) >= int64(len(out)) {
			return syncproto.Errorf(syncproto.CodeBadRecord, "suspect sibling %d of %d", i, len(out))
		}
		out[i].Suspect = true
	}
	for _, x := range m.Extra {
		i := x.GetSibling()
		if int64(i) >= int64(len(out)) || out[i].Extra != "" {
			return syncproto.Errorf(syncproto.CodeBadRecord, "extra for sibling %d of %d, or twice", i, len(out))
		}
		var err error
		if out[i].Extra, err = extraOf(x); err != nil {
			return err
		}
	}
	return nil
}

// History decodes m, and computes the step of a write that is told whole.
func (d *Decoder) History(m *History) (PastWrite, error) {
	if m == nil {
		return PastWrite{}, syncproto.Errorf(syncproto.CodeBadRecord, "no history entry")
	}
	replica, err := d.replica(m.GetReplica())
	if err != nil {
		return PastWrite{}, err
	}
	w := PastWrite{Dot: syncproto.Dot{Replica: replica, N: m.N}}
	if replica == 0 || m.N == 0 || m.N > syncproto.MaxCounter {
		return PastWrite{}, syncproto.Errorf(syncproto.CodeBadVector, "dot %s is out of range", w.Dot)
	}
	if len(m.Step) > 0 {
		if len(m.Step) != len(w.Step) || len(m.Id) > 0 || m.Value != "" {
			return PastWrite{}, syncproto.Errorf(syncproto.CodeBadRecord, "history entry has a step of %d bytes, or more than a step", len(m.Step))
		}
		copy(w.Step[:], m.Step)
		return w, nil
	}
	if w.Record, err = recordID(m.Id); err != nil {
		return PastWrite{}, err
	}
	if w.Scope, err = d.Scope(m.Scope); err != nil {
		return PastWrite{}, err
	}
	if w.Path, err = d.path(m.Path); err != nil {
		return PastWrite{}, err
	}
	if w.Value, err = syncproto.ParseValueString(m.Value); err != nil {
		return PastWrite{}, err
	}
	w.HLC = syncproto.HLC(d.tables.Hlc + uint64(m.Hlc))
	w.Step = syncproto.Step(w.Record, w.Path, w.Dot, w.HLC, w.Value)
	return w, nil
}

func (d *Decoder) replica(i uint32) (syncproto.ReplicaID, error) {
	if int64(i) >= int64(len(d.tables.Replicas)) {
		return 0, syncproto.Errorf(syncproto.CodeBadVector, "replica %d of a table of %d", i, len(d.tables.Replicas))
	}
	return syncproto.ReplicaID(d.tables.Replicas[i]), nil
}

func (d *Decoder) path(i uint32) (string, error) {
	if int64(i) >= int64(len(d.tables.Paths)) {
		return "", syncproto.Errorf(syncproto.CodeBadPath, "path %d of a table of %d", i, len(d.tables.Paths))
	}
	if d.pathErrs != nil && d.pathErrs[i] != nil {
		return "", d.pathErrs[i]
	}
	return d.tables.Paths[i], nil
}

func recordID(b []byte) (syncproto.RecordID, error) {
	var id syncproto.RecordID
	if len(b) != len(id) {
		return id, syncproto.Errorf(syncproto.CodeBadID, "record id of %d bytes, want %d", len(b), len(id))
	}
	copy(id[:], b)
	if id.IsZero() {
		return id, syncproto.Errorf(syncproto.CodeBadID, "record id is zero")
	}
	return id, nil
}
