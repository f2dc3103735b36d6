// Package transport carries the SDK's requests over HTTP: it signs a token for
// each, keeps the clock right by the server's, and reads responses frame by
// frame. It knows nothing of records.
//
// What is always true of it:
//
//   - A request is sent whole from memory and may be sent again; a response is
//     read as it comes and never held whole.
//   - Each request carries a token of its own (jti), valid for 90 seconds by the
//     server's clock, not the phone's. A 401 for the clock corrects the clock,
//     one for a used token draws another; each is tried again once.
//   - A failure carries a [syncproto.Code]: of the server's problem document, or
//     CodeOffline when the server was not reached or the link broke.
//   - With a pin the server's key is compared at every connection, whatever the
//     phone's clock says; without one the certificate is verified by the
//     system's authorities at the corrected time.
package transport
