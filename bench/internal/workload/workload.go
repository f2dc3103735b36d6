package workload

import (
	"fmt"
	"iter"
)

// The shape of the original's sets. A round touches no record twice.
const (
	DefaultRecords = 10000
	DefaultSeed    = 3524

	Rounds         = 2  // reconnect rounds, one for each link profile
	NewPerRound    = 40 // records that the device made while away
	EditsPerRound  = 20 // fields that the device edited while away
	ServerPerRound = 40 // fields that others edited meanwhile

	DifferentPairs = 1000 // records that two devices edit in different fields
	SamePairs      = 200  // records that two devices edit in the same field

	// MinRecords is how many records a set needs: the conflict pairs are on its first records, one each.
	MinRecords = DifferentPairs + SamePairs
)

// Options chooses a workload.
type Options struct {
	Records int    // how many inspections, at least MinRecords. Default: 10,000.
	Seed    uint32 // Default: 3524.
}

func (o Options) withDefaults() Options {
	if o.Records == 0 {
		o.Records = DefaultRecords
	}
	if o.Seed == 0 {
		o.Seed = DefaultSeed
	}
	return o
}

// Edit sets one field of a record.
type Edit struct {
	Path  []string // object keys from the top of the record, such as followUp, status
	Value string
}

func (e Edit) object() object {
	path := make([]any, len(e.Path))
	for i, p := range e.Path {
		path[i] = p
	}
	return object{{"path", path}, {"value", e.Value}}
}

// Side says who makes a change.
type Side string

const (
	Client Side = "client" // the device that was away
	Server Side = "server" // somebody else, whose change the device finds when it reconnects
)

// Op says what a change does.
type Op string

const (
	New     Op = "new"  // Record is added
	EditOne Op = "edit" // Edit is applied to the record ID
)

// Change is one step of a reconnect round.
type Change struct {
	Round  int // from 1
	Side   Side
	Op     Op
	ID     string // of the record it makes or touches
	Record Record // for New
	Edit   Edit   // for EditOne
}

// AppendJSON appends the change as a line of reconnect.jsonl, without the line feed.
func (c Change) AppendJSON(b []byte) []byte {
	o := object{{"round", c.Round}, {"side", string(c.Side)}, {"op", string(c.Op)}}
	if c.Op == New {
		return appendJSON(b, append(o, member{"record", raw(c.Record.JSON)}))
	}
	return appendJSON(b, append(append(o, member{"id", c.ID}), c.Edit.object()...))
}

// Pair is two edits of one record, made by devices that had not seen each other.
type Pair struct {
	Kind string // "different" or "same": whether the two edit the same field
	ID   string
	A, B Edit
}

// AppendJSON appends the pair as a line of conflicts.jsonl, without the line feed.
func (p Pair) AppendJSON(b []byte) []byte {
	return appendJSON(b, object{{"kind", p.Kind}, {"id", p.ID}, {"a", p.A.object()}, {"b", p.B.object()}})
}

// Records yields the first n inspections of a seed. A longer run begins with the same records as a
// shorter one. Nothing is kept, so that a peak of memory measured around it is the consumer's.
func Records(n int, seed uint32) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		r := newRNG(seed)
		for range n {
			if !yield(newRecord(r)) {
				return
			}
		}
	}
}

// Set is a whole workload in memory.
type Set struct {
	Seed        uint32
	Inspections []Record
	Reconnect   []Change // Rounds rounds, in order
	Conflicts   []Pair   // DifferentPairs, then SamePairs
}

// Generate makes a whole workload. It fails only when there are fewer than MinRecords records.
func Generate(o Options) (*Set, error) {
	o = o.withDefaults()
	if o.Records < MinRecords {
		return nil, fmt.Errorf("generate workload of %d records: the conflict pairs need %d", o.Records, MinRecords)
	}
	s := &Set{Seed: o.Seed, Inspections: make([]Record, 0, o.Records)}
	for r := range Records(o.Records, o.Seed) {
		s.Inspections = append(s.Inspections, r)
	}
	s.Reconnect = reconnect(newRNG(o.Seed+1), s.Inspections)
	s.Conflicts = conflicts(s.Inspections)
	return s, nil
}

// Round returns the changes of one reconnect round, from 1, that one side makes.
func (s *Set) Round(round int, side Side) []Change {
	var out []Change
	for _, c := range s.Reconnect {
		if c.Round == round && c.Side == side {
			out = append(out, c)
		}
	}
	return out
}

func reconnect(r *rng, inspections []Record) []Change {
	used := map[int]bool{}
	fresh := func() string {
		for {
			if i := r.between(0, len(inspections)-1); !used[i] {
				used[i] = true
				return inspections[i].ID
			}
		}
	}
	var out []Change
	for round := 1; round <= Rounds; round++ {
		for range NewPerRound {
			rec := newRecord(r)
			out = append(out, Change{Round: round, Side: Client, Op: New, ID: rec.ID, Record: rec})
		}
		for i := range EditsPerRound {
			out = append(out, Change{Round: round, Side: Client, Op: EditOne, ID: fresh(),
				Edit: Edit{[]string{"followUp", "status"}, fmt.Sprintf("closed-r%d-%d", round, i)}})
		}
		for i := range ServerPerRound {
			out = append(out, Change{Round: round, Side: Server, Op: EditOne, ID: fresh(),
				Edit: Edit{[]string{"followUp", "action"}, fmt.Sprintf("Tindak lanjut %d-%d telah diperiksa.", round, i)}})
		}
	}
	return out
}

func conflicts(inspections []Record) []Pair {
	var out []Pair
	for i := range DifferentPairs {
		out = append(out, Pair{Kind: "different", ID: inspections[i].ID,
			A: Edit{[]string{"followUp", "status"}, fmt.Sprintf("A-%d", i)},
			B: Edit{[]string{"site", "address"}, fmt.Sprintf("B-%d", i)}})
	}
	for i := range SamePairs {
		out = append(out, Pair{Kind: "same", ID: inspections[DifferentPairs+i].ID,
			A: Edit{[]string{"findings"}, fmt.Sprintf("A menulis ulang temuan %d.", i)},
			B: Edit{[]string{"findings"}, fmt.Sprintf("B menulis ulang temuan %d.", i)}})
	}
	return out
}
