// Package disk lets the checker have a hand on the disk of real devices and
// real servers: it sees each step that makes something durable, and may fail it
// or end the process around it.
//
// What is always true:
//
//   - The hand comes with one device or one server, as their source of
//     randomness, and is never global: others in the process have none.
//   - No app can have one, by accident or otherwise: [Hand] names a type of this
//     package, which nothing outside of this module can import. The public API
//     shows nothing of it.
//   - Without a hand it costs one comparison when something is opened.
package disk

// Op names a step that makes something durable, in the words of whose step it
// is: "commit" and "mark" of a device, "commit" of a server, among others.
type Op string

// Hand is called around each step. It may return an error without calling do,
// and then nothing of the step happened; or after it, and then all of it did.
type Hand interface {
	Durably(op Op, do func() error) error
}

// Of returns the hand that a source of randomness is, or nil.
func Of(random any) func(op Op, do func() error) error {
	if h, ok := random.(Hand); ok {
		return h.Durably
	}
	return nil
}

// Apart reports whether a source of randomness is a hand that wants each step of
// a server's update to be a commit of its own, also where the store's engine
// would keep several by one: so that what happens around a commit happens around
// the same ones on every engine.
func Apart(random any) bool {
	h, ok := random.(interface {
		Hand
		Apart() bool
	})
	return ok && h.Apart()
}
