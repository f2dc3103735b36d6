// Package hostile attacks a real server with what an enrolled attacker has: a
// device key that the server knows, grants of his own, and the protocol by
// hand. It has tests alone.
//
// What is always true of them:
//
//   - Each attack of the list H1 to H24 runs in a world that has a twin without
//     the attacker, made from the same seed. What headquarters, an auditor's
//     full pull and the honest phones see at the end must be the twin's, byte
//     for byte, but for records that are the attacker's alone.
//   - Each attempt leaves something that somebody sees: a refusal with a code, a
//     message in the inbox, a flag on the device, a line in the log.
//   - An attack of the list that has no surface in this version is in the table
//     all the same, with the reason.
package hostile
