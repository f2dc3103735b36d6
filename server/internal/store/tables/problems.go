package tables

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// What a check finds in rows whose sums are right; "" for nothing.

// ChangeProblem compares an entry with its digest. One that was erased has
// nothing to compare.
func ChangeProblem(c *store.Change) string {
	if c.Damaged || len(c.Ops) == 0 || sha256.Sum256(c.Ops) == c.Digest {
		return ""
	}
	return fmt.Sprintf("change is not what was appended: %s %d of %s", c.Scope, c.Seq, c.ID)
}

// PastWriteProblem compares a write with its link in the chain.
func PastWriteProblem(w *store.PastWrite) string {
	if w.Damaged || len(w.Value) == 0 || syncproto.StepOf(w.ID, w.Path, w.Dot, w.HLC, sha256.Sum256(w.Value)) == w.Step {
		return ""
	}
	return fmt.Sprintf("past write is not what was appended: %s %s of %s", w.Scope, w.Dot, w.ID)
}

// CheckRegistry decodes every row of the registry, and reports what is wrong
// with devices and with chains that have not begun.
func CheckRegistry(r store.RegistryReader, report func(problem string)) error {
	devices, err := r.Devices()
	if err != nil {
		return err
	}
	if _, err := r.Officers(); err != nil {
		return err
	}
	for i := range devices {
		for _, problem := range deviceProblems(&devices[i]) {
			report(problem)
		}
	}
	return nil
}

func deviceProblems(d *store.DeviceStatus) (out []string) {
	for _, r := range d.Replicas {
		if r.HeldN == 0 && r.HeldHead != syncproto.ChainStart(r.ID) && r.HeldHead != (syncproto.Digest{}) {
			out = append(out, fmt.Sprintf("chain of nothing held has a head: device %s replica %s: %s", d.Device.ID, r.ID, hex.EncodeToString(r.HeldHead[:4])))
		}
	}
	if d.Device.ID == "" || len(d.Device.PublicKey) == 0 {
		out = append(out, "device without id or key: "+store.DeviceScope(d.Device.ID))
	}
	return out
}
