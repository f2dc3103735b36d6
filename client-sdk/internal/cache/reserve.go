package cache

import "os"

// reserve is how far ahead of the pages in use the file is written with zeros, in bytes. A page that is written for the first
// time makes the file system allocate a block, and the sync of the commit then waits for its journal as well: a save took a
// seventh longer. One write of zeros allocates for many saves.
const reserve = 256 << 10

// zeros is what the reserve is written with. Nobody writes to it.
var zeros [reserve]byte //nolint:gochecknoglobals // nothing but zeros

// reserver writes zeros behind the pages in use. Only the holder of the writing transaction may use it: bbolt writes there
// within commits only, and reads there never.
type reserver struct {
	file *os.File
	used int64 // at the last call
	to   int64 // zeros, or pages once used, up to there
}

// ahead is called with the size of the pages in use, in bytes. Failing is no matter, nor is leaving half of the zeros
// behind: the commit will meet the full disk where it matters.
func (r *reserver) ahead(used int64) {
	grown := used - r.used
	r.used, r.to = used, max(r.to, used)
	if grown > reserve/4 {
		return // a bulk of rows, for which writing everything twice would cost more than it saves
	}
	if r.to-used > reserve/4 {
		return
	}
	info, err := r.file.Stat()
	if err != nil {
		return
	}
	// Not beyond the end: that is where bbolt will grow the file, and it keeps account of its size.
	n := min(reserve, info.Size()-r.to)
	if n <= 0 {
		return
	}
	if _, err := r.file.WriteAt(zeros[:n], r.to); err == nil {
		r.to += n
	}
}
