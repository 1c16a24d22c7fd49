// Package enroll is how agents come to be trusted: the hub's certificate authority, join tokens, and the certificates that
// agents get for them and renew.
//
// A certificate names its cluster in a SPIFFE URI and nothing else is believed about who an agent is. What a request says of
// itself (the subject of its CSR) is ignored.
package enroll
