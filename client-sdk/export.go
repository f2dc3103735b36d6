package sambang

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Export writes the records that the filter selects to w, one JSON object a
// line: id, kind, region, fields, deleted, updated_at, updated_by, custody, and
// the conflicts with all their values. It is for people and for taking one's
// data away; a backup is a copy of the closed file.
func (r *Replica) Export(w io.Writer, f Filter) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for rec, err := range r.List(f) {
		if err != nil {
			return err
		}
		line, err := r.exported(rec)
		if err != nil {
			return err
		}
		if err := enc.Encode(line); err != nil {
			return fmt.Errorf("write the export: %w", err)
		}
	}
	return nil
}

type exportLine struct {
	ID        string     `json:"id"`
	Kind      string     `json:"kind"`
	Region    string     `json:"region"`
	Fields    Fields     `json:"fields"`
	Deleted   bool       `json:"deleted,omitempty"`
	UpdatedAt string     `json:"updated_at"`
	UpdatedBy string     `json:"updated_by,omitempty"`
	Agency    string     `json:"agency,omitempty"`
	Custody   string     `json:"custody"`
	Conflicts []Conflict `json:"conflicts,omitempty"`
}

func (r *Replica) exported(rec *Record) (exportLine, error) {
	line := exportLine{
		ID: rec.ID.String(), Kind: rec.Kind, Region: string(rec.Region), Fields: rec.Fields, Deleted: rec.Deleted,
		UpdatedAt: rec.UpdatedAt.UTC().Format(time.RFC3339Nano), UpdatedBy: rec.UpdatedBy.Officer, Agency: rec.UpdatedBy.Agency,
		Custody: rec.Custody.String(),
	}
	var err error
	if len(rec.Conflicts) > 0 {
		line.Conflicts, err = r.Conflicts(rec.ID)
	}
	return line, err
}
