package sambang

import "github.com/sambang-id/sambang/syncproto"

// writeShown writes what is shown of a conflict in its place, so that the
// conflict is gone: what rule A22 is there to prevent. It is in no build
// without the tag "ablate".
func (r *Replica) writeShown(rec *Record) error {
	for _, path := range rec.Conflicts {
		if value, ok := rec.Fields[path]; ok && !syncproto.IsReserved(path) {
			if err := r.Resolve(rec.ID, path, value); err != nil {
				return err
			}
		}
	}
	return nil
}
