package engine

import (
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
)

// document is what headquarters' queries see of a record.
type document struct {
	json      []byte
	conflicts int
	deleted   bool
}

// projector returns the function that projects a record by a pack. Conflicts
// counts what demands a person's choice or is worth showing: fields whose
// siblings differ, and a deletion that somebody's edit survived.
func projector(p *pack.Pack) func(syncproto.Record) (document, error) {
	return func(rec syncproto.Record) (document, error) {
		projection := p.Project(rec)
		return document{json: projection.DocJSON(), conflicts: len(projection.Conflicts), deleted: projection.Life.Deleted}, nil
	}
}
