package sambang

import (
	"fmt"

	"github.com/sambang-id/sambang/syncproto"
)

// Damage names something in the replica's file that is not what was written.
// It is shown to nobody by any read. The text holds no contents.
type Damage struct {
	// Record is the record that it belongs to; zero if it is not a record's.
	Record ID
	// What says where it is and what does not verify.
	What string
}

// Check reads the whole file and verifies its structure and every row; nothing
// is returned when all is well. Writes wait meanwhile. [Open] looks at the
// structure alone, and a damaged row is an error where it is read; Check names
// all of them, for a support person. What the server holds is not lost: enrol a
// new replica beside the damaged one.
func (r *Replica) Check() ([]Damage, error) {
	found, err := r.db.Check()
	if err != nil {
		return nil, storageError(err)
	}
	var out []Damage
	for _, d := range found {
		x := Damage{What: d.Error()}
		if len(d.Key) == len(syncproto.RecordID{}) {
			x.Record = ID(d.Key)
			x.What = fmt.Sprintf("record %s: %s", x.Record, d.Error())
		}
		out = append(out, x)
	}
	return out, nil
}
