//go:build !ablate

package ablate

// Off reports whether a rule is switched off: never.
func Off(Rule) bool { return false }
