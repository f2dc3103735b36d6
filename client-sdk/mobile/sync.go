package mobile

import (
	"context"
	"encoding/json"

	sambang "github.com/sambang-id/sambang/client-sdk"
)

// Listener hears of syncs and changes, on a thread of the SDK's: hand over to
// the app's own and return.
type Listener interface {
	// OnProgress: records pushed and to push, entries pulled and to pull
	// (0 if not known), bytes up and down.
	OnProgress(pushed, toPush, pulled, toPull, bytesUp, bytesDown int64)
	// OnSync: a sync ended; code is "" if well.
	OnSync(report, code string)
	// OnChange: a record changed; id is "" if anything may have.
	OnChange(id, kind, what string)
}

// Sync syncs once and returns the report as JSON.
func (m *Replica) Sync() (string, error) {
	rep, err := m.r.Sync(context.Background())
	return reportOf(rep), coded(err)
}

// Start syncs and tells of changes until Stop or Close. A second Start while
// the first goes on changes nothing.
func (m *Replica) Start(to Listener) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stop != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	m.stop, m.done = cancel, done
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for c := range m.r.Watch(ctx) {
			id := ""
			if c != (sambang.Change{}) {
				id = c.ID.String()
			}
			to.OnChange(id, c.Kind, string(c.What))
		}
	}()
	go func() {
		defer close(done)
		err := m.r.Run(ctx,
			sambang.WithProgress(func(p sambang.Progress) {
				to.OnProgress(int64(p.Pushed), int64(p.ToPush), int64(p.Pulled), int64(p.ToPull), p.BytesUp, p.BytesDown)
			}),
			sambang.WithReport(func(rep sambang.Report, err error) { to.OnSync(reportOf(rep), codeOf(err)) }))
		if ctx.Err() == nil {
			to.OnSync("{}", codeOf(err)) // no waiting helps: the app must act
		}
		<-watched
	}()
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	return ErrorCode(coded(err).Error())
}

// Stop ends what Start began, and waits for it.
func (m *Replica) Stop() {
	m.mu.Lock()
	stop, done := m.stop, m.done
	m.stop, m.done = nil, nil
	m.mu.Unlock()
	if stop != nil {
		stop()
		<-done
	}
}

// Hint says that there may be a network now.
func (m *Replica) Hint() { m.r.Hint() }

// Status returns the state of the replica as JSON, for a status bar.
func (m *Replica) Status() string {
	s := m.r.Status()
	grants := []any{}
	for _, g := range s.Grants {
		grants = append(grants, map[string]any{"region": g.Region, "classes": g.Classes, "until": g.Until})
	}
	last := int64(0)
	if !s.LastSync.IsZero() {
		last = s.LastSync.UnixMilli()
	}
	return text(map[string]any{
		"records": s.Records, "waiting": s.Waiting, "quarantined": s.Quarantined, "conflicts": s.Conflicts,
		"enrolled": s.Enrolled, "revoked": s.Revoked, "offline": s.Offline, "syncing": s.Syncing, "plain": s.Plain,
		"last_sync": last, "device": s.Device, "officer": s.Officer, "agency": s.Agency, "grants": grants,
	})
}

// Outbox returns what the server does not hold yet, as a JSON array.
func (m *Replica) Outbox() (string, error) {
	out := []any{}
	for w, err := range m.r.Outbox() {
		if err != nil {
			return "", coded(err)
		}
		out = append(out, map[string]any{
			"id": w.ID.String(), "kind": w.Kind, "class": w.Class, "custody": w.Custody.String(), "code": w.Code, "broken": w.Broken,
		})
	}
	return text(out), nil
}

func reportOf(r sambang.Report) string {
	return text(map[string]any{
		"pushed": r.Pushed, "pulled": r.Pulled, "evicted": r.Evicted, "conflicts": r.Conflicts, "quarantined": r.Quarantined,
		"repairs": r.Repairs, "requests": r.Requests, "bytes_up": r.BytesUp, "bytes_down": r.BytesDown, "waiting": r.Waiting,
		"took_millis": r.Took.Milliseconds(),
	})
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "{}" // unreachable: numbers and texts
	}
	return string(b)
}
