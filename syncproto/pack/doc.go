// Package pack says what the kinds of records mean: which fields there are,
// which of them form one register, who may hold them on a phone, how several
// values of one field are shown, and what a good value looks like.
//
// What is always true of it:
//
//   - A pack decides how a document becomes registers and how registers become
//     a document. It never decides what is stored: what a pack does not know
//     survives, is shown back, and can be edited (SPEC 6.13). So replicas with
//     different versions of a pack, or with none, still converge.
//   - A projection is a pure function of the state of a record and its
//     companions. It never writes (I16), and does not depend on the order in
//     which writes arrived.
//   - Validation finds, it never refuses. What an officer saw is kept, even if
//     the form thinks otherwise.
//   - A [Pack] is immutable and safe for concurrent use. Nothing is read from
//     the network or from files.
//
// # The format
//
// A pack is one JSON Schema (2020-12) document. Its kinds are the entries of
// "$defs" that have an "x-sambang" object with "kind": true; the other entries
// are shared types. All that JSON Schema can say about a value is said in JSON
// Schema. The rest is said in annotations, which other tools ignore:
//
//	"x-sambang-pack": {                    in the root
//	  "format": 1, "name": "timpora", "version": "1.0",
//	  "default_class": "T",                of kinds that the pack does not know
//	  "classes": {"D": {"id": "…", "en": "…"}, …},
//	  "sensitivities": {"S0": {"id": "…", "en": "…"}, …},
//	  "tables": {"findings": [{"code": "F00", "label": {…}, "notes": {…}}, …]}
//	}
//	"x-sambang": {                         in a kind
//	  "kind": true, "label": {"id": "…", "en": "…"}, "note": "…",
//	  "natural_key": "…",                  for people; code derives the ids
//	  "groups": {"result": {"policy": "review", "label": {…}}},
//	  "rules": [{"code": "…", "left": "ended_at", "op": ">=", "right": "started_at",
//	             "within_hours": 24, "message": {…}}],
//	  "evidence": [{"field": "entry_mode", "value": "mrz", "is": "mrz"}]  see [EvidenceRule]
//	}
//	"x-sambang": {                         in an entry of a kind's "allOf"
//	  "code": "…", "message": {…}, "path": "mandate_no", "needs": ["sponsor_id"]
//	}
//	"x-sambang": {                         in a property of a kind
//	  "type": "enum", "label": {…}, "policy": "lww", "sensitivity": "S1", "class": "D",
//	  "shape": "register" | "set" | "append" | "list",
//	  "group": "result",                   one register with the group's other fields
//	  "key": "id", "natural": ["country", "number"], "order": "at",     of lists
//	  "ref": "site", "rule": "…", "choices": {"hotel": {"id": "…", "en": "…"}},
//	  "moves": {"draft": ["final"], …}, "final": ["final"],    of fsm
//	  "derive": {…}                        of derived, see [Derivation]
//	}
//
// # Registers
//
//   - A plain field, whatever JSON it holds, is the register "name".
//   - The fields of a group are one register with the group's name that holds
//     an object: values that must change together never mix.
//   - A set has one register per element, "name/key", where key is the first
//     16 hexadecimal digits of the SHA-256 of the element. Adding wins over
//     removing without further rules, since removing writes null.
//   - An append list has one register per item, "name/key", that holds the
//     whole item and is not changed afterwards.
//   - A list has one register per field of an item, "name/key/field", and
//     "name/key/$del" as the tombstone of an item.
//   - Whatever the pack does not know is the register of its name; registers
//     below it are shown, and can be edited, under their whole path
//     ("name/9c1f/field" as a key of the document).
//
// # Classes
//
// A record of a kind lives in the widest class that a field of the kind has.
// Stricter fields live in the companion record of their class, made by
// [Pack.Split] and put together again by [Pack.Project]. A field that the pack
// does not know, in a kind that it knows, goes to the strictest class of the
// kind, unless it is somewhere already: it stays where its writer put it.
package pack
