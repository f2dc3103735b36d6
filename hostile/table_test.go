package hostile_test

import (
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// attack is one line of the list of hostile devices.
type attack struct {
	number string // "H01" to "H24"
	name   string // what the attacker does, and what he gets
	run    func(t *testing.T, x *intruder)
	// Or, instead of run: where it is proved (folder and tests), or why there
	// is nothing to attack, and how one would see that there is.
	proved []string
	absent func(t *testing.T, w *world)
}

// attacks is the whole list.
func attacks() []attack {
	return []attack{
		{number: "H01", name: "replays a push, his own or another's: refused, or it changes nothing", run: replays},
		{number: "H02", name: "sends batches in another order: the same state in the end, and claims that go backwards are contested", run: reorders},
		{number: "H03", name: "gives one counter two contents: contested, and his replica is marked as broken", run: forks},
		{number: "H04", name: "raises another's counter, or writes under it: set aside as forged", run: raises},
		{number: "H05", name: "jumps with his own counter, up to 2^53 and beyond: refused, or set aside", run: jumps},
		{number: "H06", name: "sends vectors and tables of ten thousand entries: set aside or refused as too many", run: bloats},
		{number: "H07", name: "calls himself by another's device, replica or key: refused", run: impersonates},
		{number: "H08", name: "writes outside of his region and class with a good signature: set aside, and in nobody's log", run: trespasses},
		{number: "H09", name: "dates writes back or ahead: flagged, and no honest value is lost or outdone", run: misdates},
		{number: "H10", name: "signs one thing and sends another: refused, or his replica is marked as broken", run: missigns},
		{number: "H11", name: "names an attachment that never comes: no attachments in this version", absent: noRoute("attach", "blob", "upload", "file")},
		{number: "H12", name: "uploads a million chunks of a byte: no attachments in this version", absent: noRoute("chunk", "blob", "upload")},
		{number: "H13", name: "uploads chunks that overlap: no attachments in this version", absent: noRoute("chunk", "range", "upload")},
		{number: "H14", name: "puts paths, NUL, right-to-left marks and ten kilobytes into every text: refused, or kept as text alone", run: mistypes},
		{number: "H15", name: "sends a decompression bomb: refused as soon as it is too large", run: bombs},
		{number: "H16", name: "sends JSON with duplicate names, 1e999, invalid UTF-8, 200 levels: refused, or the one item set aside", run: misspells},
		{number: "H17", name: "lets old writes of a revoked device in through a relay: no relays in this version; itself it is refused", run: comesBack, absent: noRelay},
		{number: "H18", name: "lets new writes of a revoked device in through a relay: no relays in this version; itself it is refused", run: writesOn, absent: noRelay},
		{number: "H19", name: "puts a phone back to an old backup: it goes on as a new replica, nothing is lost", proved: []string{
			"e2e/repair_test.go", "TestARestoredFileGoesOnAsANewReplica", "TestAWholeImageThatWasRestoredForksAndLosesNothing"}},
		{number: "H20", name: "clones a phone, both live: they fork, nothing is lost", proved: []string{
			"e2e/repair_test.go", "TestTwoLiveCopiesOfOnePhoneLoseNothing"}},
		{number: "H21", name: "relays others' messages with losses, doubles and mixtures: no relays in this version", absent: noRelay},
		{number: "H22", name: "brings a bundle of another organisation: no bundles in this version", absent: noRoute("bundle", "import")},
		{number: "H23", name: "uses a code twice, photographed, too late, or at another server: refused, and the code stays whose it is", run: miscodes},
		{number: "H24", name: "asks for what is outside of his grants, or with a forged cursor: gets nothing of it", run: peeks},
	}
}

func TestHostileDevices(t *testing.T) {
	t.Parallel()
	want := honestView(t)
	all := attacks()
	for i := 1; i <= 24; i++ {
		if n := "H" + string([]byte{byte('0' + i/10), byte('0' + i%10)}); all[i-1].number != n {
			t.Fatalf("line %d of the list is %s", i, all[i-1].number)
		}
	}
	if len(all) != 24 {
		t.Fatalf("%d lines", len(all))
	}
	for _, a := range all {
		t.Run(a.number+" "+a.name, func(t *testing.T) {
			if a.proved != nil {
				namesTests(t, a.proved[0], a.proved[1:])
				return
			}
			w := newWorld(t)
			if a.absent != nil {
				a.absent(t, w)
			}
			if a.run == nil {
				return
			}
			w.morning()
			x := w.enrol("jahat", "jahat", grant(district, "D"), grant(beside, "DT"))
			before := w.now
			a.run(t, x)
			if t.Failed() {
				return
			}
			w.now = before // or the honest would write at another time than in the twin
			w.evening()
			if d := cmp.Diff(want, w.view(x.mine)); d != "" {
				t.Errorf("the honest see something else than without the attacker (-without +with):\n%s", d)
			}
		})
	}
}

// honestView is what the honest see in a world without an attacker.
func honestView(t *testing.T) []string {
	w := newWorld(t)
	w.morning()
	w.evening()
	view := w.view(nil)
	if len(view) < 20 {
		t.Fatalf("the twin sees too little: %q", view)
	}
	return view
}

// The positive control: what an attacker must not be able to do is seen.
func TestADifferenceIsSeen(t *testing.T) {
	want := honestView(t)
	for name, spoil := range map[string]func(*world){
		"a record is purged": func(w *world) { w.must(w.srv.Purge(t.Context(), w.sites[1].String(), "pusat", "uji")) },
		"a value is changed": func(w *world) { w.set(w.a, 0, "address", "Jalan Lain"); w.sync(w.a) },
		"a phone is revoked": func(w *world) { w.must(w.srv.Revoke(t.Context(), w.b.Status().Device, false)) },
		"a stranger's record": func(w *world) {
			x := w.enrol("asing", "jahat", grant(district, "D"))
			x.settle(1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.morning()
			w.evening()
			spoil(w)
			if cmp.Equal(want, w.view(nil)) {
				t.Error("not seen")
			}
		})
	}
	t.Run("nothing", func(t *testing.T) {
		if d := cmp.Diff(want, honestView(t)); d != "" {
			t.Errorf("two twins differ:\n%s", d)
		}
	})
}

// namesTests fails unless the file still has the tests that the list rests on.
func namesTests(t *testing.T, file string, tests []string) {
	t.Helper()
	source, err := os.ReadFile("../" + file)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tests {
		if !strings.Contains(string(source), "\nfunc "+name+"(t *testing.T) {\n") {
			t.Errorf("%s has no %s any more: prove it elsewhere", file, name)
		}
	}
}

// noRoute fails as soon as the API has a route with one of the words in it: then
// the line of the list needs its attack.
func noRoute(words ...string) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		t.Helper()
		a := w.ask("GET", "/v1/openapi.json", nil, nil)
		var doc struct {
			Paths map[string]any
		}
		if err := json.Unmarshal(a.body, &doc); err != nil || len(doc.Paths) < 10 {
			t.Fatalf("the API's document: %d paths, %v", len(doc.Paths), err)
		}
		for path := range doc.Paths {
			if slices.ContainsFunc(words, func(s string) bool { return strings.Contains(path, s) }) {
				t.Errorf("there is a route %s: this line of the list needs its attack", path)
			}
		}
		for _, word := range words {
			if a := w.ask("POST", "/v1/"+word, asJSON, []byte("{}")); a.status != http.StatusNotFound {
				t.Errorf("/v1/%s answers %d", word, a.status)
			}
		}
	}
}

// noRelay fails as soon as the server takes what one device says of another's
// chain.
func noRelay(t *testing.T, w *world) {
	t.Helper()
	noRoute("relay", "bundle")(t, w)
	x := w.enrol("perantara", "jahat", grant(district, "D"))
	o := x.open()
	o.Heads = []*wire.Head{{Replica: 77, N: 1, Head: make([]byte, 32)}}
	if r := x.send(o); r.code != syncproto.CodeUnsupportedVersion {
		t.Errorf("relayed heads: %s", r.said())
	}
}
