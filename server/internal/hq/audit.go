package hq

import (
	"context"
	"log/slog"

	"github.com/sambang-id/sambang/syncproto"
)

// count is how many objects a reader was shown, and how many of them held
// parts of the stricter classes.
type count struct{ Records, Task, HQ int }

func (c *count) add(parts []Part) {
	c.Records++
	for _, class := range [...]syncproto.Class{syncproto.ClassTask, syncproto.ClassHQ} {
		for _, p := range parts {
			if p.Class != class {
				continue
			}
			if class == syncproto.ClassTask {
				c.Task++
			} else {
				c.HQ++
			}
			break
		}
	}
}

func counts(entries []Entry) (c count) {
	for _, e := range entries {
		c.add(e.Parts)
	}
	return c
}

// audited writes the line that each read or decision leaves: who, in which
// role, for what, and how much. Ids of single records are no contents; they are
// there when the reader named one.
func (s *Service) audited(ctx context.Context, r Reader, action string, c count, attrs ...slog.Attr) {
	line := append([]slog.Attr{
		slog.String("action", action), slog.String("subject", r.ID), slog.String("role", r.Role), slog.String("agency", r.Agency),
		slog.Int("records", c.Records), slog.Int("class_t", c.Task), slog.Int("class_h", c.HQ),
	}, attrs...)
	if r.Purpose != "" {
		line = append(line, slog.String("purpose", r.Purpose))
	}
	if r.Request != "" {
		line = append(line, slog.String("request_id", r.Request))
	}
	s.audit.LogAttrs(ctx, slog.LevelInfo, "audit", line...)
}
