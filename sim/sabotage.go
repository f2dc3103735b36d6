package sim

import (
	"time"

	"github.com/sambang-id/sambang/syncproto"
)

// Sabotage breaks a rule on purpose, in the network or in what the oracle is
// shown: a checker that does not notice protects nothing.
type Sabotage struct{}

func (w *world) spoil(*[]byte)                                         {}
func (w *world) sabotageResponse(*exchange, *response)                 {}
func (w *world) sabotageAudit(map[syncproto.RecordID]syncproto.Record) {}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }
