// Package uplink is the agent's end of the sync stream: the ledger decides what the hub must be told, and the link carries
// it through a tunnel that is dialled again whenever it is lost.
package uplink
