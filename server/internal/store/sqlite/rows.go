package sqlite

import (
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
)

// What a row says, as a query's scan function.

func scanHead(c *cursor) store.Head               { return tables.ReadHead(&c.Cursor) }
func scanRow(c *cursor) store.Row                 { return tables.ReadRecord(&c.Cursor) }
func scanChange(c *cursor) store.Change           { return tables.ReadChange(&c.Cursor) }
func scanPastWrite(c *cursor) store.PastWrite     { return tables.ReadPastWrite(&c.Cursor) }
func scanQuarantined(c *cursor) store.Quarantined { return tables.ReadMessage(&c.Cursor) }
func scanReplica(c *cursor) store.Replica         { return tables.ReadReplica(&c.Cursor) }
func scanOwner(c *cursor) tables.Owner            { return tables.ReadOwner(&c.Cursor) }
func scanStep(c *cursor) store.ChainStep          { return tables.ReadChainStep(&c.Cursor) }
func scanWitness(c *cursor) store.Witness         { return tables.ReadWitness(&c.Cursor) }
func scanReceipt(c *cursor) store.Receipt         { return tables.ReadReceipt(&c.Cursor) }
func scanSeen(c *cursor) store.Seen               { return tables.ReadSeen(&c.Cursor) }
func scanOfficer(c *cursor) store.Officer         { return tables.ReadOfficer(&c.Cursor) }
func scanDevice(c *cursor) store.Device           { return tables.ReadDevice(&c.Cursor) }
func scanPastGrants(c *cursor) store.PastGrants   { return tables.ReadPastGrants(&c.Cursor) }
func scanEnrolment(c *cursor) store.Enrolment     { return tables.ReadEnrolment(&c.Cursor) }
