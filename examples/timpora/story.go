package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
)

// story plays the samples: each visit is written offline when it was captured
// and reconnects when it was received, on one time line.
type story struct {
	samples []*sample
	server  *server.Server
	url     string
	dir     string
	say     *teller

	now     atomic.Int64 // Unix milliseconds of the story; 0: the real time
	phones  map[string]*phone
	ids     map[string]sambang.ID // of the samples' records, where a natural key names them
	stopped chan error
	served  bool
}

// newStory starts a server on a loopback address and enrols one phone per
// officer, and one for the team's secretariat.
func newStory(ctx context.Context, dir, listen string, say *teller) (*story, error) {
	samples, err := loadSamples()
	if err != nil {
		return nil, err
	}
	s := &story{samples: samples, dir: dir, say: say, phones: map[string]*phone{}, ids: map[string]sambang.ID{}, stopped: make(chan error, 1)}
	first := slices.MinFunc(samples, func(a, b *sample) int { return a.captured().Compare(b.captured()) })
	s.setTime(first.captured().Add(-48 * time.Hour))

	s.server, err = server.New(server.Config{Data: filepath.Join(dir, "server"), Listen: listen, Now: s.clock})
	if err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	var addr net.Addr
	if addr, err = s.server.Listen(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	s.url = "http://" + addr.String()
	s.served = true
	go func() { s.stopped <- s.server.Run(ctx) }()
	say.step(textServer, s.url, s.server.ID())

	people := append(officers(samples), officer{id: secretariat, agency: "sekretariat", regions: []string{"35"}})
	for _, o := range people {
		if err := s.enrol(ctx, o); err != nil {
			return nil, fmt.Errorf("enrol %s: %w", o.id, err)
		}
	}
	say.step(textEnrolled, len(people))
	return s, nil
}

// secretariat is the phone that made the records that the samples require.
const secretariat = "sekretariat"

func (s *story) clock() time.Time {
	if ms := s.now.Load(); ms != 0 {
		return time.UnixMilli(ms)
	}
	return time.Now()
}

func (s *story) setTime(t time.Time) { s.now.Store(t.UnixMilli()) }

func (s *story) enrol(ctx context.Context, o officer) error {
	if err := s.server.PutOfficer(ctx, server.Officer{ID: o.id, Name: o.id, Agency: o.agency}); err != nil {
		return err
	}
	var grants syncproto.Grants
	for _, r := range o.regions {
		grants = append(grants, syncproto.Grant{
			Region: syncproto.Region(r), Classes: []syncproto.Class{syncproto.ClassDevice, syncproto.ClassTask},
		})
	}
	code, err := s.server.Enrol(ctx, server.EnrolRequest{Officer: o.id, Grants: grants})
	if err != nil {
		return err
	}
	p, err := openPhone(filepath.Join(s.dir, "phones", o.id), o, s.clock)
	if err != nil {
		return err
	}
	s.phones[o.id] = p
	return p.replica.Enrol(ctx, code, o.id)
}

// close ends the phones and the server's store.
func (s *story) close() {
	for _, p := range s.phones {
		_ = p.replica.Close()
	}
	if s.served {
		if err := <-s.stopped; err != nil {
			s.say.step(textStopped, err)
		}
	}
	_ = s.server.Close()
}

// event is one thing that happens on the time line.
type event struct {
	at time.Time
	do func(context.Context) error
}

// play runs all events in order of their times.
func (s *story) play(ctx context.Context) error {
	if err := s.prepare(ctx); err != nil {
		return fmt.Errorf("prepare what the samples require: %w", err)
	}
	s.say.step(textPlay)
	var events []event
	for i, x := range s.samples {
		events = append(events,
			event{x.captured(), func(ctx context.Context) error { return s.capture(ctx, x) }},
			event{x.ReceivedAt, func(ctx context.Context) error { return s.reconnect(ctx, x, i) }})
		for _, r := range x.Requires {
			if r.Tombstone {
				events = append(events, event{x.ReceivedAt.Add(-time.Hour), func(ctx context.Context) error { return s.purge(ctx, r) }})
			}
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.at.UnixMilli(), b.at.UnixMilli()) })
	for _, e := range events {
		s.setTime(e.at)
		if err := e.do(ctx); err != nil {
			return err
		}
	}
	return nil
}

// prepare lets the secretariat make what the samples require: earlier work
// that the story does not tell.
func (s *story) prepare(ctx context.Context) error {
	p := s.phones[secretariat]
	for _, x := range s.samples {
		for _, r := range x.Requires {
			id := s.id(r.ID)
			if _, err := p.replica.Get(id); err == nil {
				continue
			}
			fields := sambang.Fields(r.Fields)
			if r.Tombstone {
				fields = sambang.Fields(x.Records[0].Fields)
				fields = sambang.Fields{"nationality": fields["nationality"], "surname": fields["surname"], "given_names": fields["given_names"], "person_status": "visitor"}
			}
			if err := p.replica.CreateWith(id, r.Kind, x.Desa, fields); err != nil {
				return err
			}
			for rev := 2; rev < r.Rev; rev++ {
				err := p.replica.Edit(id, func(d *sambang.Draft) error {
					d.Set("last_seen_at", s.clock().Add(time.Duration(rev)*time.Minute).Format(time.RFC3339))
					return nil
				})
				if err != nil {
					return err
				}
			}
		}
	}
	_, err := p.replica.Sync(ctx)
	return err
}

// capture is a visit: the phone had signal until now, and has none any more.
func (s *story) capture(ctx context.Context, x *sample) error {
	p := s.phones[x.Officer]
	if _, err := p.replica.Sync(ctx); err != nil {
		return fmt.Errorf("%s: last sync before the visit: %w", x.ID, err)
	}
	p.link.cut.Store(true)
	p.skew.Store(int64(x.skew()))
	for _, r := range x.Records {
		if err := s.write(p, x, r); err != nil {
			return fmt.Errorf("%s: write %s offline: %w", x.ID, r.Kind, err)
		}
	}
	s.say.captured(x, p)
	return nil
}

// write makes or changes one record on a phone. A client writes only what its
// user touched: fields that show what the sample has are left alone.
func (s *story) write(p *phone, x *sample, r sampleRecord) error {
	id := s.id(r.ID)
	if r.Kind == "document" {
		// The same paper, met by two officers, is one record (pack: natural key).
		n, err := p.replica.NaturalID(x.Desa, r.Kind, str(r.Fields["type"]), syncproto.PassportKey(str(r.Fields["issuer"]), str(r.Fields["number"])))
		switch {
		case err == nil:
			id = n
			s.ids[r.ID] = id
		case syncproto.CodeOf(err) != syncproto.CodeScopeDenied:
			return err
		}
	}
	shown, err := p.replica.Get(id)
	if syncproto.CodeOf(err) == syncproto.CodeNotFound {
		return p.replica.CreateWith(id, r.Kind, x.Desa, r.Fields)
	}
	if err != nil {
		return err
	}
	return p.replica.Edit(shown.ID, func(d *sambang.Draft) error {
		for name, value := range r.Fields {
			if list, ok := value.([]any); ok {
				have, _ := d.Get(name).([]any)
				value = append(slices.Clone(have), list...)
			}
			if !same(d.Get(name), value) {
				d.Set(name, value)
			}
		}
		return nil
	})
}

// id returns the id of a sample's record.
func (s *story) id(sampleID string) sambang.ID {
	if id, ok := s.ids[sampleID]; ok {
		return id
	}
	id, err := syncproto.ParseRecordID(sampleID)
	if err != nil {
		panic(err) // a test reads all samples
	}
	return id
}

// reconnect is the first bar of signal after a visit.
func (s *story) reconnect(ctx context.Context, x *sample, i int) error {
	p := s.phones[x.Officer]
	p.link.cut.Store(false)
	if x.Attempts > 1 || i%5 == 3 {
		p.link.loseReplies.Store(1)
	}
	for attempt := 1; ; attempt++ {
		rep, err := p.replica.Sync(ctx, sambang.WithProgress(s.say.progress(x)))
		if err == nil {
			s.say.synced(x, p, rep)
			return nil
		}
		if syncproto.CodeOf(err) != syncproto.CodeOffline || attempt == 5 {
			return fmt.Errorf("%s: sync: %w", x.ID, err)
		}
		s.say.lost(x, attempt)
	}
}

// purge is what headquarters does when the time to keep a record is over.
func (s *story) purge(ctx context.Context, r sampleRecord) error {
	s.say.step(textPurged, r.Kind, r.ID, r.Reason)
	return s.server.Purge(ctx, r.ID, "hq-retensi", r.Reason)
}
