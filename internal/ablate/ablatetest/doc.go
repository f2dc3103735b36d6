//go:build !ablate

// Package ablatetest shows that a test notices when a rule is gone. It has
// contents with the build tag "ablate" only.
package ablatetest
