package cache

import (
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// Check reads the whole store and verifies its structure and every row. It returns what is damaged, nothing when all is
// well; the error says why it could not look. Updates wait meanwhile. It costs the reading of the whole file: for a doctor's
// command and for tests, not for each start.
func (db *DB) Check() ([]*Damage, error) {
	db.update.Lock() // so that the meta pages and the freelist hold still
	defer db.update.Unlock()
	var found []*Damage
	err := db.View(func(tx *Tx) error {
		w, err := inspect(tx.h.file)
		if err != nil {
			w.found = append(w.found, err.Error())
		}
		if w.single {
			w.found = append(w.found, "a meta page does not verify: the last transaction may be undone")
		}
		for _, what := range w.found {
			found = append(found, &Damage{Bucket: "(file)", Detail: what})
		}
		buckets, err := tx.buckets()
		if err != nil {
			found = append(found, &Damage{Bucket: "(file)", Detail: err.Error()})
		}
		for _, b := range buckets {
			for row, err := range tx.Ascend(b, Range{}) {
				if err == nil {
					continue
				}
				d := &Damage{Bucket: b.name, Detail: err.Error()}
				if row.Key != nil {
					d.Key = append([]byte(nil), row.Key...)
				}
				found = append(found, d)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("check cache: %w", err)
	}
	return found, nil
}

// buckets lists the buckets that have been put into.
func (tx *Tx) buckets() (list []Bucket, err error) {
	err = guarded(func() error {
		return tx.bolt.ForEach(func(id []byte, _ *bolt.Bucket) error {
			switch name := string(id); {
			case len(name) > 2 && name[:2] == "s/":
				list = append(list, Sealed(name[2:]))
			case len(name) > 2 && name[:2] == "r/":
				list = append(list, Unsealed(name[2:]))
			}
			return nil
		})
	})
	return list, err
}
