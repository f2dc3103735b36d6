// Package e2e holds the tests of device and server together: real replicas with
// real files, a real server on SQLite, and a link that loses things. It imports
// public paths alone, as an app would, and has no code of its own.
package e2e
