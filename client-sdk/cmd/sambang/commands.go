package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
)

func commands() []command {
	return []command{
		{"enrol", "[-name NAME] CODE", textEnrol, (*app).enrol},
		{"put", "KIND REGION FIELD=VALUE...", textPut, (*app).put},
		{"edit", "ID FIELD=VALUE...", textEdit, (*app).edit},
		{"delete", "ID", textDelete, (*app).remove},
		{"move", "ID REGION", textMove, (*app).move},
		{"list", "[-kind K] [-region R] [-conflicts] [-deleted]", textList, (*app).list},
		{"show", "ID", textShow, (*app).show},
		{"conflicts", "[ID]", textConflicts, (*app).conflicts},
		{"resolve", "ID PATH VALUE", textResolve, (*app).resolve},
		{"status", "", textStatus, (*app).status},
		{"sync", "", textSync, (*app).sync},
		{"export", "[-kind K] [-region R] [-deleted]", textExport, (*app).export},
	}
}

func (a *app) flags(name string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	return f
}

// need refuses a call with another number of arguments.
func (a *app) need(args []string, least, most int) error {
	if len(args) < least || most >= 0 && len(args) > most {
		return a.usage(a.say(textArguments))
	}
	return nil
}

func (a *app) enrol(ctx context.Context, args []string) error {
	f := a.flags("enrol")
	name := f.String("name", "sambang", "")
	if err := f.Parse(args); err != nil {
		return a.usage(err.Error())
	}
	if err := a.need(f.Args(), 1, 1); err != nil {
		return err
	}
	if err := a.r.Enrol(ctx, f.Arg(0), *name); err != nil {
		return err
	}
	s := a.r.Status()
	fmt.Fprintln(a.out, a.say(textEnrolled, s.Device, s.Officer, s.Agency))
	return nil
}

func (a *app) put(_ context.Context, args []string) error {
	if err := a.need(args, 2, -1); err != nil {
		return err
	}
	fields, err := a.parse(args[2:])
	if err != nil {
		return err
	}
	id, err := a.r.Create(args[0], args[1], fields)
	if err == nil {
		fmt.Fprintln(a.out, id)
	}
	return err
}

// parse reads FIELD=VALUE. A value that is JSON is taken as such, any other as
// text; an empty one removes the field.
func (a *app) parse(args []string) (sambang.Fields, error) {
	fields := sambang.Fields{}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok || name == "" {
			return nil, a.usage(a.say(textPair, arg))
		}
		fields[name] = parseValue(value)
	}
	return fields, nil
}

func parseValue(s string) any {
	if s == "" {
		return nil
	}
	if json.Valid([]byte(s)) {
		return json.RawMessage(s)
	}
	return s
}

func (a *app) edit(_ context.Context, args []string) error {
	if err := a.need(args, 2, -1); err != nil {
		return err
	}
	id, err := syncproto.ParseRecordID(args[0])
	if err != nil {
		return err
	}
	fields, err := a.parse(args[1:])
	if err != nil {
		return err
	}
	return a.r.Edit(id, func(d *sambang.Draft) error {
		for name, v := range fields {
			d.Set(name, v)
		}
		return nil
	})
}

func (a *app) remove(_ context.Context, args []string) error {
	return a.withID(args, 1, a.r.Delete)
}

func (a *app) move(_ context.Context, args []string) error {
	return a.withID(args, 2, func(id sambang.ID) error { return a.r.Move(id, args[1]) })
}

func (a *app) withID(args []string, n int, fn func(sambang.ID) error) error {
	if err := a.need(args, n, n); err != nil {
		return err
	}
	id, err := syncproto.ParseRecordID(args[0])
	if err != nil {
		return err
	}
	return fn(id)
}

func (a *app) filter(name string, args []string) (sambang.Filter, error) {
	f := a.flags(name)
	kind, region := f.String("kind", "", ""), f.String("region", "", "")
	conflicts, deleted := f.Bool("conflicts", false, ""), f.Bool("deleted", false, "")
	if err := f.Parse(args); err != nil || f.NArg() > 0 {
		return sambang.Filter{}, a.usage(a.say(textArguments))
	}
	filter := sambang.Filter{Kind: *kind, Conflicts: *conflicts, Deleted: *deleted}
	if *region != "" {
		r, err := syncproto.ParseRegion(*region)
		if err != nil {
			return filter, err
		}
		filter.Region = r
	}
	return filter, nil
}

func (a *app) list(_ context.Context, args []string) error {
	f, err := a.filter("list", args)
	if err != nil {
		return err
	}
	for rec, err := range a.r.List(f) {
		if err != nil {
			return err
		}
		mark := ""
		if len(rec.Conflicts) > 0 {
			mark = a.say(textInConflict, len(rec.Conflicts))
		}
		fmt.Fprintf(a.out, "%s  %-12s %-10s %-28s %s %s\n", rec.ID, rec.Kind, rec.Region, a.custody(rec.Custody), title(rec.Fields), mark)
	}
	return nil
}

// title is a line that tells a record from others.
func title(f sambang.Fields) string {
	for _, name := range []string{"name", "title", "surname", "number"} {
		if s, ok := f[name].(string); ok {
			return s
		}
	}
	return ""
}

func (a *app) custody(c sambang.Custody) string { return a.code(c.Text()) }

func (a *app) code(t syncproto.Text) string {
	if a.english {
		return t.English
	}
	return t.Indonesian
}

func (a *app) show(_ context.Context, args []string) error {
	return a.withID(args, 1, func(id sambang.ID) error {
		rec, err := a.r.Get(id)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.out, "%s  %s  %s  %s\n", rec.ID, rec.Kind, rec.Region, a.custody(rec.Custody))
		if rec.Deleted {
			fmt.Fprintln(a.out, a.say(textIsDeleted))
		}
		for _, name := range slices.Sorted(maps.Keys(rec.Fields)) {
			v, err := syncproto.NewValue(rec.Fields[name])
			if err != nil {
				return err
			}
			mark := ""
			if slices.Contains(rec.Conflicts, name) {
				mark = "  " + a.say(textConflictMark)
			}
			fmt.Fprintf(a.out, "  %s: %s%s\n", name, v.JSON(), mark)
		}
		fmt.Fprintln(a.out, a.say(textUpdated, rec.UpdatedAt.Format(time.DateTime), who(rec.UpdatedBy)))
		return nil
	})
}

func who(by sambang.Author) string {
	if by.Officer == "" {
		return by.Replica.String()
	}
	return by.Officer + " (" + by.Agency + ")"
}

func (a *app) conflicts(_ context.Context, args []string) error {
	if err := a.need(args, 0, 1); err != nil {
		return err
	}
	if len(args) == 1 {
		return a.withID(args, 1, a.conflictsOf)
	}
	for rec, err := range a.r.List(sambang.Filter{Conflicts: true}) {
		if err != nil {
			return err
		}
		if err := a.conflictsOf(rec.ID); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) conflictsOf(id sambang.ID) error {
	list, err := a.r.Conflicts(id)
	if err != nil {
		return err
	}
	for _, c := range list {
		path := c.Path
		if path == "" {
			path = c.Field
		}
		fmt.Fprintf(a.out, "%s  %s\n", id, path)
		if c.Base != nil {
			fmt.Fprintln(a.out, "    "+a.say(textBase, jsonOf(c.Base)))
		}
		for _, v := range c.Values {
			mark := " "
			if v.Shown {
				mark = "*"
			}
			fmt.Fprintf(a.out, "  %s %s  %s, %s\n", mark, jsonOf(v.Value), who(v.By), v.At.Format(time.DateTime))
		}
	}
	return nil
}

func jsonOf(x any) string {
	v, err := syncproto.NewValue(x)
	if err != nil {
		return fmt.Sprint(x)
	}
	return v.JSON()
}

func (a *app) resolve(_ context.Context, args []string) error {
	return a.withID(args, 3, func(id sambang.ID) error { return a.r.Resolve(id, args[1], parseValue(args[2])) })
}

func (a *app) status(_ context.Context, args []string) error {
	if err := a.need(args, 0, 0); err != nil {
		return err
	}
	s := a.r.Status()
	if s.Enrolled {
		fmt.Fprintln(a.out, a.say(textDevice, s.Device, s.Officer, s.Agency))
	} else {
		fmt.Fprintln(a.out, a.code(syncproto.CodeNotEnrolled.Text()))
	}
	if s.Revoked {
		fmt.Fprintln(a.out, a.code(syncproto.CodeDeviceRevoked.Text()))
	}
	for _, g := range s.Grants {
		fmt.Fprintln(a.out, a.say(textGrant, g.Region, g.Classes))
	}
	fmt.Fprintln(a.out, a.say(textCounts, s.Records, s.Waiting, s.Quarantined, s.Conflicts))
	if !s.LastSync.IsZero() {
		fmt.Fprintln(a.out, a.say(textLastSync, s.LastSync.Format(time.DateTime)))
	}
	for w, err := range a.r.Outbox() {
		if err != nil {
			return err
		}
		reason := ""
		if w.Code != "" {
			reason = a.code(w.Code.Text())
		}
		fmt.Fprintf(a.out, "  %s  %s/%s  %s %s\n", w.ID, w.Kind, w.Class, a.custody(w.Custody), reason)
	}
	return nil
}

func (a *app) sync(ctx context.Context, args []string) error {
	if err := a.need(args, 0, 0); err != nil {
		return err
	}
	rep, err := a.r.Sync(ctx)
	fmt.Fprintln(a.out, a.say(textSynced, rep.Pushed, rep.Pulled, rep.Evicted, rep.Conflicts, rep.Waiting, rep.Requests, rep.BytesUp, rep.BytesDown))
	if rep.Quarantined > 0 {
		fmt.Fprintln(a.out, a.say(textPutAside, rep.Quarantined))
	}
	var refusal *sambang.Refusal
	if errors.As(err, &refusal) && refusal.RetryAfter > 0 {
		fmt.Fprintln(a.err, a.say(textRetry, refusal.RetryAfter))
	}
	return err
}

func (a *app) export(_ context.Context, args []string) error {
	f, err := a.filter("export", args)
	if err != nil {
		return err
	}
	return a.r.Export(a.out, f)
}
