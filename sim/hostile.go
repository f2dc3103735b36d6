package sim

import "github.com/sambang-id/sambang/syncproto"

type hostile struct{ x *raw }

func (w *world) addHostile() error { return nil }
func (w *world) attack()           {}

func (h *hostile) owns(syncproto.ReplicaID) bool                             { return false }
func (h *hostile) killed(syncproto.RecordID, string, syncproto.Dot) []*event { return nil }
