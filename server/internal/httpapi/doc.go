// Package httpapi is the server's HTTP surface: it decodes, finds out who
// calls, limits, and turns errors into answers. It is the only package that
// imports echo.
//
// What is always true of it:
//
//   - Every route stands in one table with the action that it takes, and is
//     reached only by who may take it. Actions without a rule are refused.
//   - Every refusal is an RFC 9457 problem document with a stable code, a text
//     that says what to do, and the server's time; also for unknown routes.
//   - A body is read one frame at a time, within limits of size, time and
//     rate. Whoever sends too slowly is cut; there is no limit on how long a
//     slow but steady phone may take.
//   - A reply that could not be completed is never ended cleanly: the
//     connection is cut, and the device knows that it has not seen all.
//   - No log line or metric has contents, tokens, addresses or query strings.
package httpapi
