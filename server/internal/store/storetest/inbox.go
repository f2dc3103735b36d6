package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/google/go-cmp/cmp"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

func inboxCases() []testCase {
	return []testCase{
		{"a message is kept once, as it first came", dedupe},
		{"the inbox is paged newest first, by region", inboxPages},
		{"a message is decided once", decide},
	}
}

// message is a quarantined message with key digest(name).
func message(name, scope string, at int64) store.Quarantined {
	return store.Quarantined{
		Key: digest(name), Scope: scope, ID: id(1), Device: "device-1", Code: syncproto.CodeBadValue, Raw: []byte("raw bytes of " + name),
		At: at, State: store.QuarantineOpen,
	}
}

// dedupe: a phone whose item is refused sends it with every push for a season.
// It must be kept, and must not fill the disk. It may also name another scope
// the next time.
func dedupe(b *bench) {
	want := store.Quarantined{Key: digest("x"), Scope: store.DeviceScope("device-1"), Device: "device-1", Code: "of_a_later_version", Raw: []byte{}, At: -1, State: store.QuarantineOpen}
	for range 3 {
		b.must(b.update(want.Scope, func(tx store.Tx) error { return tx.Quarantine(want.Scope, []store.Quarantined{want, want}) }))
	}
	later := message("x", string(home), 99)
	b.must(b.update(string(home), func(tx store.Tx) error { return tx.Quarantine(string(home), []store.Quarantined{later}) }))
	b.view(func(r store.Reader) error {
		inbox, err := r.Inbox("", nil, 100)
		if err != nil {
			return err
		}
		want.Raw = nil
		if diff := cmp.Diff([]store.Quarantined{want}, inbox); diff != "" {
			b.Errorf("inbox (-want +got):\n%s", diff)
		}
		got, err := r.Message(digest("x"))
		if diff := cmp.Diff(want, got); diff != "" {
			b.Errorf("message (-want +got):\n%s", diff)
		}
		return err
	})
}

// inboxPages: who answers for a regency sees its messages and no others, and
// equal times neither repeat nor miss one.
func inboxPages(b *bench) {
	scopes := []string{string(home), string(task), string(secret), string(next), string(far), string(other), store.DeviceScope("device-1")}
	byScope := map[string][]syncproto.Digest{}
	var everything []store.Quarantined
	for i := range 42 {
		q := message(fmt.Sprint(i), scopes[i%len(scopes)], int64(i/10))
		everything = append(everything, q)
		byScope[q.Scope] = append(byScope[q.Scope], q.Key)
		b.must(b.update(q.Scope, func(tx store.Tx) error { return tx.Quarantine(q.Scope, []store.Quarantined{q}) }))
	}
	slices.SortFunc(everything, func(x, y store.Quarantined) int {
		if x.At != y.At {
			return int(y.At - x.At)
		}
		return slices.Compare(y.Key[:], x.Key[:])
	})
	for region, within := range map[syncproto.Region][]string{
		"": scopes, "35": {string(home), string(task), string(secret), string(next), string(far)}, "35.24": {string(home), string(task), string(secret), string(next)},
		"35.24.14": {string(home), string(task), string(secret)}, "36.01.01": {string(other)}, "35.2": nil,
	} {
		var want []store.Quarantined
		for _, q := range everything {
			if slices.Contains(within, q.Scope) {
				want = append(want, q)
			}
		}
		for _, size := range []int{1, 5, 100} {
			var got []store.Quarantined
			var after *syncproto.Digest
			for {
				var page []store.Quarantined
				b.view(func(r store.Reader) (err error) {
					page, err = r.Inbox(region, after, size)
					return err
				})
				if len(page) == 0 || len(got) > len(everything) {
					break
				}
				got = append(got, page...)
				after = &page[len(page)-1].Key
			}
			if diff := cmp.Diff(want, got); diff != "" {
				b.Errorf("inbox of %q in pages of %d (-want +got):\n%s", region, size, diff)
			}
		}
	}
	unknown := digest("unknown")
	err := b.s.View(b.Context(), func(r store.Reader) error {
		_, err := r.Inbox("", &unknown, 1)
		return err
	})
	b.wants(err, store.ErrNotFound)
}

// decide: two people release the same message at once; its content must be
// absorbed once, and the journal must name one of them.
func decide(b *bench) {
	b.must(b.update(string(home), func(tx store.Tx) error {
		return tx.Quarantine(string(home), []store.Quarantined{message("1", string(home), 1), message("2", string(home), 2)})
	}))
	set := func(scope string, key, state, by string) error {
		return b.update(scope, func(tx store.Tx) error {
			return tx.SetQuarantineState(scope, digest(key), state, "reason of "+by, by, 77)
		})
	}
	var won atomic.Int32
	b.together(12, func(i int) error {
		err := set(string(home), "1", store.QuarantineReleased, fmt.Sprint("officer-", i))
		switch {
		case err == nil:
			won.Add(1)
		case !errors.Is(err, store.ErrDecided):
			return err
		}
		return nil
	})
	if won.Load() != 1 {
		b.Errorf("%d deciders won", won.Load())
	}
	b.wants(set(string(home), "1", store.QuarantineClosed, "late"), store.ErrDecided)
	b.wants(set(string(home), "9", store.QuarantineClosed, "x"), store.ErrNotFound)
	b.wants(set(string(next), "2", store.QuarantineClosed, "x"), store.ErrNotFound)
	for _, state := range []string{store.QuarantineOpen, "", "other"} {
		if err := set(string(home), "2", state, "x"); err == nil {
			b.Errorf("state %q was accepted", state)
		}
	}
	b.must(set(string(home), "2", store.QuarantineClosed, "officer-x"))
	// Sent again, it does not open again.
	b.must(b.update(string(home), func(tx store.Tx) error {
		return tx.Quarantine(string(home), []store.Quarantined{message("2", string(home), 9)})
	}))
	b.view(func(r store.Reader) error {
		got, err := r.Message(digest("2"))
		want := message("2", string(home), 2)
		want.State, want.Reason, want.By, want.DecidedAt = store.QuarantineClosed, "reason of officer-x", "officer-x", 77
		if diff := cmp.Diff(want, got); diff != "" {
			b.Errorf("closed message (-want +got):\n%s", diff)
		}
		_, missing := r.Message(digest("9"))
		b.wants(missing, store.ErrNotFound)
		return err
	})
}
