// Package auth says who is calling and what they may do: the server's own
// identity, single-use enrolment codes, the tokens of devices and of people at
// headquarters.
//
// What is always true of it:
//
//   - A key is never taken from a token. A device is found by its id, and its
//     algorithm is the one fixed when it was enrolled.
//   - A device's token opens one request: its jti is remembered until it
//     expires, and a token older than this process is refused, because its jti
//     may have been used before.
//   - Revocation and a disabled officer take effect at the next request; there
//     is nothing to wait for and no session to end.
//   - A secret is stored only as its SHA-256, compared in constant time, and
//     is in no error and no log. An unknown code, a wrong secret and a wrong
//     proof get the same answer, and leave the code unused.
//   - Times come in as arguments.
//
// # Enrolment
//
// A code is shown as text and as a QR code:
//
//	sambang:1?u=<url>&p=<pin>&e=<enrolment>&s=<secret>
//
// The parameters come in this order, each once. u is the server's address,
// percent-encoded as in a query; https, or http on a loopback address. p is
// the base64url SHA-256 of the TLS certificate's SubjectPublicKeyInfo, 43
// characters; it is left out ("p=" included) if the certificate is to be
// verified by the system's authorities. e is 16 characters of a-z and 2-7. s
// is the secret: 16 bytes as base64url, 22 characters. Base64url is always
// without padding and strict: unused bits are zero.
//
// The device makes its key and calls, without Authorization:
//
//	POST /v1/enrol
//	Content-Type: application/json
//
//	{
//	  "enrolment":   "mzxw6ytboi4dcmrt",
//	  "secret":      "AAECAwQFBgcICQoLDA0ODw",
//	  "algorithm":   "EdDSA",
//	  "public_key":  "<base64url: 32 bytes of Ed25519, or the PKIX form of a P-256 key>",
//	  "key_nonce":   "<base64url: 16 bytes; optional: of the first replica id>",
//	  "device_name": "Samsung A05, Imigrasi 3",
//	  "proof":       "<base64url: signature by the device key>"
//	}
//
// algorithm is "EdDSA" or "ES256" and stays so for the life of the device.
// The name has at most 64 characters and no control characters. At most 16
// KiB. The proof is a signature over the transcript: the bytes
// "sambang-enrol-1" and then each of enrolment, secret, algorithm, public_key,
// key_nonce (empty if absent) and device_name, in the form of their text in
// the JSON (after unescaping), each with its length in bytes before it as 4
// bytes big-endian. Ed25519 signs the transcript; ES256 signs its SHA-256 and
// the signature is ASN.1 DER.
//
// The answer is 201, also to a repetition of the same request by the same key
// before the code expires, because the first answer may have been lost:
//
//	{
//	  "device":       "dev-<24 characters>",
//	  "server_id":    "srv-<16 characters>",
//	  "receipt_keys": [{"id": "rk-<8 characters>", "algorithm": "EdDSA", "public_key": "<base64url>"}],
//	  "officer":      "budi",
//	  "officer_name": "Budi Rekaan",
//	  "agency":       "imigrasi",
//	  "role":         "officer",
//	  "grants_version": 1,
//	  "grants":       [{"region": "35.24.14", "classes": ["D", "T"], "until": 0, "key": "<base64url>"}],
//	  "server_time":  1764000000000
//	}
//
// device is "dev-" and the base32 (a-z, 2-7, no padding) of the first 15 bytes
// of SHA-256("sambang-device" | public key). until and server_time are Unix
// milliseconds, until 0 means without end. key is the region's key for natural
// keys, as in Begin.
//
// Refusals: enrolment_invalid (unknown code, wrong secret or wrong proof: not
// told apart), enrolment_used, enrolment_expired (both only with the right
// secret), forbidden (the officer was disabled), conflicting_identity (the key
// is enrolled already), malformed, too_large, invalid_utf8, rate_limited.
//
// # The token of a device
//
// Each request of a device carries "Authorization: Bearer <JWT>". The header
// is exactly {"typ": "sambang-device+jwt", "alg": <as enrolled>, "kid":
// <device>}; other parameters are refused. Claims: iss and sub (both the
// device), aud (the server id, one string), iat, exp (whole seconds, exp at
// most 120 after iat), jti (16 to 64 characters of base64url, drawn at random).
//
// Refusals, all 401 unless noted, each with the server's time:
// unauthorized (no token), token_invalid, device_unknown, device_revoked (403;
// with a wipe order if one is due), forbidden (403: the officer is disabled),
// wrong_server, clock_skew (iat is more than 60 s ahead or 120 s behind, or
// exp as far behind), token_expired, token_replayed (jti seen before, or
// issued more than 5 s before the server started).
//
// # The wipe order
//
// A revoked device that must destroy its data gets, as the member "wipe" of
// the problem document of device_revoked:
//
//	{"body": "<base64url>", "signature": "<base64url>", "key": "rk-..."}
//
// body is JSON, {"device", "server", "revoked_at"}; the signature is by the
// receipt key over "sambang-wipe" | body. A device obeys only an order with
// its own id, its server and a good signature.
//
// # The token of a person at headquarters
//
// A JWT made by `sambangd token`, signed by the server's token key: typ
// "sambang-hq+jwt", alg EdDSA, kid the key's id, iss and aud the server id,
// sub, role, agency, regions, classes, iat, exp, jti.
package auth
